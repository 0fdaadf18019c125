"""How OpenAI's words and ours translate into each other."""
