"""Pure decisions about prices and estimates."""
