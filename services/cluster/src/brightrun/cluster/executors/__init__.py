"""Ways to run trainers: on this machine, on a Ray cluster, or simulated."""
