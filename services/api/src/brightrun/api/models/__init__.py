"""Models: the artifacts service owns them; generation tries them."""
