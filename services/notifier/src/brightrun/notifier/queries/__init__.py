"""All SQL of the notifier's slice."""
