"""The whole of BrightRun on one machine."""
