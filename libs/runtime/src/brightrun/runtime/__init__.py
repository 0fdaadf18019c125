"""The chassis that every BrightRun service stands on. Knows no concrete event."""
