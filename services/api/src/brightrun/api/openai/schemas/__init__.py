"""Bodies of the OpenAI dialect."""
