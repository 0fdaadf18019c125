"""Models of completed jobs: transferred from their cluster, judged, downloaded, tried."""
