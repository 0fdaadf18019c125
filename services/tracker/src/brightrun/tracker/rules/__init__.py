"""The tracker's decisions: pure, without a clock of their own."""
