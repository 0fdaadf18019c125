"""Bodies of the artifacts service's HTTP interface."""
