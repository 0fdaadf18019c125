"""The client of the GPU cluster's HTTP API."""
