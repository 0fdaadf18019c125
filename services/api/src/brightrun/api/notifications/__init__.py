"""Notifications, from the notifier."""
