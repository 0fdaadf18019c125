"""Errors of the platform and its demo; each message is one line for the user."""


class StartError(Exception):
    """The platform cannot run here; the message has the cause and what to do."""


class DemoError(Exception):
    """The demo failed; the message names the step and the cause."""
