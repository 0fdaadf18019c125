"""Jobs: submission, lists, requests of their users, projection of their events."""
