"""Named points where a fault test kills the process, as `kill -9` would. Inert unless `FAILPOINT` names one."""

import os
import signal

_ARMED = os.environ.get("FAILPOINT")


def failpoint(name: str) -> None:
    """Die here, without clean-up, when the environment's `FAILPOINT` is `name`."""
    if name == _ARMED:
        os.kill(os.getpid(), signal.SIGKILL)
