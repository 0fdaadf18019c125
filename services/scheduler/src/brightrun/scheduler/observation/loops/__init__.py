"""Clusters are watched, or polled."""
