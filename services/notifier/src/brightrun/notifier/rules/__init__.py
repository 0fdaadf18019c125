"""What the notifier decides: words, messages, addresses, retries. Nothing here waits or has a clock."""
