"""The reference GPU cluster: really trains, on this machine."""
