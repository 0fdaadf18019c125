"""The OpenAI dialect below /v1, which the unmodified `openai` package uses."""
