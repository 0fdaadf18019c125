"""The scheduler's decisions: pure, without a clock of their own."""
