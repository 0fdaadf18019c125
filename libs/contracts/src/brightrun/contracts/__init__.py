"""Facts and value types that BrightRun's services share. Imports nothing of BrightRun."""
