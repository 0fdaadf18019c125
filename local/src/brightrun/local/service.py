"""The services of BrightRun as programs of this machine."""

import sys
from collections.abc import Mapping
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException

from brightrun.local.installation import Installation
from brightrun.local.program import Program


class Service(Program):
    """One service: `python -m brightrun.<name>.main` on a port of 127.0.0.1."""

    def __init__(self, installation: Installation, name: str, port: int, environment: Mapping[str, str]) -> None:
        super().__init__(installation, name)
        self._port = port
        self._environment = {
            "BRIGHTRUN_HOST": "127.0.0.1",
            "BRIGHTRUN_PORT": str(port),
            "PYTHONUNBUFFERED": "1",
            **environment,
        }

    def command(self) -> list[str]:
        """The service's main module, on the interpreter of this process."""
        return [sys.executable, "-m", f"brightrun.{self.name}.main"]

    def environment(self) -> Mapping[str, str]:
        """Its settings."""
        return self._environment

    def is_ready(self) -> bool:
        """Whether its `/ready` answers 200."""
        connection = HTTPConnection("127.0.0.1", self._port, timeout=2)  # httpx would take 0.2 s to import
        try:
            connection.request("GET", "/ready")
            return connection.getresponse().status == HTTPStatus.OK
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()
