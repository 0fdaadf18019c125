"""Training data of every format as conversations in OpenAI's shape. Bytes in, no other input or output."""
