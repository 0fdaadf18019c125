"""What clusters' reports mean."""
