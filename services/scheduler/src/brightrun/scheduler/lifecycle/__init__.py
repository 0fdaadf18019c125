"""How jobs and attempts start and end, and whether a job whose attempt has ended is over, paused or tried again."""
