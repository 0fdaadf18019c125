"""Jobs are cancelled and paused, and their runs stopped."""
