"""Pure translations between OpenAI's objects and ours."""
