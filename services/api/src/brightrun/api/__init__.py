"""The HTTP gateway: accounts, jobs, and the public API of all other services."""
