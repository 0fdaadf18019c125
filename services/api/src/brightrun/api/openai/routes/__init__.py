"""HTTP routes of the OpenAI dialect."""
