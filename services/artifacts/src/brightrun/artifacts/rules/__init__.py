"""Pure decisions of the artifacts service."""
