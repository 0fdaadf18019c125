"""Objects that are to be deleted from the store."""
