"""The queue, the attempts, and the conversation with GPU clusters."""
