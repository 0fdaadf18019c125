"""Bodies of prices and estimates."""
