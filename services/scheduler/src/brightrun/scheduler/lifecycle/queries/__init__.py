"""SQL of the states of jobs and attempts."""
