"""The folder that a run works in, and what comes into it."""
