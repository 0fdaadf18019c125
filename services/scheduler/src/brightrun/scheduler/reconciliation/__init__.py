"""Clusters' runs and our attempts are compared: orphan runs are stopped, attempts without a run are tried again."""
