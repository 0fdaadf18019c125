"""Webhooks, from the notifier."""
