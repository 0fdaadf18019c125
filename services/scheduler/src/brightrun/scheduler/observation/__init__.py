"""What clusters report of our runs: their streams, their statuses, their callbacks."""
