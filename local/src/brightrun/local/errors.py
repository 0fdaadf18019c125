"""What keeps the platform or its demo from running; each message is one line for the user."""


class StartError(Exception):
    """The platform cannot run here; the message says why and what to do."""


class DemoError(Exception):
    """The demo could not go on; the message says at which step and why."""
