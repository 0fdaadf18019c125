"""SQL of accounts."""
