"""Checkpoints of jobs: listed with how long they can be had, copied from their clusters, downloaded."""
