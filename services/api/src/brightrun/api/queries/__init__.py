"""All SQL of the gateway's slice."""
