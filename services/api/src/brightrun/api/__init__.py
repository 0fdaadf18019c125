"""The HTTP gateway: accounts, jobs, and the faces of everything else."""
