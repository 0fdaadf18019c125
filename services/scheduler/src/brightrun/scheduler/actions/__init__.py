"""What the scheduler does with jobs, attempts and clusters. Every write of a run is guarded by its attempt."""
