"""Scheduling: queue positions, clusters, shares and priorities, from the scheduler."""
