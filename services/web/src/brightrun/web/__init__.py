"""The web pages: they own nothing but a signed cookie and know the public API only."""
