"""Jobs and attempts change their states, and events tell so."""
