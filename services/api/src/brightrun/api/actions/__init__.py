"""What the gateway does: connection first, never a commit."""
