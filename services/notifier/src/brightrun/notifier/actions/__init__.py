"""What the notifier does."""
