"""Data sets: the artifacts service owns them; deletions are decided here."""
