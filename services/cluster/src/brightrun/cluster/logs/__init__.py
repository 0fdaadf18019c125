"""The logs of trainers."""
