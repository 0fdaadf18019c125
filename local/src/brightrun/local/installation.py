"""The folder of one installation: where its data, logs, ports and secrets are."""

import json
import os
import random
import secrets
import socket
from pathlib import Path
from typing import Any

PORTS = range(20_000, 22_700)
"""Below the ephemeral ports of common systems, also after a shift by 10 000."""


class Installation:
    """One platform's folder. Ports and secrets are chosen on first use and kept."""

    def __init__(self, home: Path) -> None:
        self.home = home.resolve()
        self.home.mkdir(mode=0o711, parents=True, exist_ok=True)
        self.folder("logs")
        self._checked: dict[str, int] = {}

    def folder(self, name: str) -> Path:
        """The durable folder of one program, which only its account may enter; created when absent."""
        path = self.home / name
        path.mkdir(mode=0o700, exist_ok=True)
        if path.stat().st_mode & 0o077:
            path.chmod(0o700)  # of an earlier version
        return path

    def log(self, name: str) -> Path:
        """The log file of one program."""
        return self.home / "logs" / f"{name}.log"

    def secret(self, name: str) -> str:
        """The secret of that name, generated on first use."""
        path = self.home / "secrets.json"
        known: dict[str, str] = read_json(path, {})
        if name not in known:
            known[name] = secrets.token_hex(24)
            write_json(path, known)
        return known[name]

    def port(self, name: str, *, shift: int = 0) -> int:
        """The port of that name: the last run's, or another if that is taken. The port `shift` above it is free too."""
        if name not in self._checked:
            path = self.home / "ports.json"
            known: dict[str, int] = read_json(path, {})
            port = known.get(name)
            if port is None or not _are_free(port, shift):
                others = {*known.values(), *self._checked.values()}
                port = next(p for p in random.sample(PORTS, len(PORTS)) if p not in others and _are_free(p, shift))
                write_json(path, known | {name: port})
            self._checked[name] = port
        return self._checked[name]


def is_free(port: int) -> bool:
    """Whether this port of 127.0.0.1 is free."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def read_json(path: Path, default: Any) -> Any:
    """The content of a JSON file, or `default` when there is none."""
    return json.loads(path.read_text()) if path.exists() else default


def write_json(path: Path, content: object) -> None:
    """Replace a JSON file as `write_private` does."""
    write_private(path, json.dumps(content, indent=2).encode())


def write_private(path: Path, content: bytes) -> None:
    """Replace a file that only we may read, atomically: a crash leaves the old or the new one."""
    draft = path.with_suffix(".tmp")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
    draft.replace(path)


def _are_free(port: int, shift: int) -> bool:
    return is_free(port) and is_free(port + shift)
