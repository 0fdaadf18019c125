"""How long finished runs and their events are kept."""
