"""Bodies of the OpenAI face, as the `openai` package sends and reads them."""
