"""The services of BrightRun as programs of this machine."""

import sys
from collections.abc import Mapping

import httpx

from brightrun.local.installation import Installation
from brightrun.local.program import Program


class Service(Program):
    """One service: `python -m brightrun.<name>.main` on a port of 127.0.0.1."""

    def __init__(self, installation: Installation, name: str, port: int, environment: Mapping[str, str]) -> None:
        super().__init__(installation, name)
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=2)
        self._environment = {
            "BRIGHTRUN_HOST": "127.0.0.1",
            "BRIGHTRUN_PORT": str(port),
            "PYTHONUNBUFFERED": "1",
            **environment,
        }

    def command(self) -> list[str]:
        """The interpreter that we run on."""
        return [sys.executable, "-m", f"brightrun.{self.name}.main"]

    def environment(self) -> Mapping[str, str]:
        """Its settings."""
        return self._environment

    def is_ready(self) -> bool:
        """Whether it says so itself."""
        try:
            return self._http.get("/ready").is_success
        except httpx.TransportError:
            return False
