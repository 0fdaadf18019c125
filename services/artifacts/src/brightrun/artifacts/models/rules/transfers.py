"""Which files a cluster may give, and when a failed transfer is tried again."""

import re
from datetime import timedelta

from brightrun.artifacts.models.rules.manifest import MANIFEST
from brightrun.contracts.cluster_api import RunArtifacts

MAX_FILES = 1000
MAX_NAME_LENGTH = 200
SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")
MAX_PAUSE = timedelta(minutes=10)


class UnusableFiles(ValueError):
    """The files that the cluster offers cannot be stored."""


def check_files(artifacts: RunArtifacts) -> None:
    """Raises UnusableFiles for missing files, and for names that are not a plain relative path.

    Rejected are `..`, absolute and hidden names, NUL, backslash, look-alike letters, and long names.
    """
    names = artifacts.download_urls.keys()
    if not names:
        raise UnusableFiles("the cluster offers no files")
    if len(names) > MAX_FILES:
        raise UnusableFiles(f"the cluster offers {len(names)} files; {MAX_FILES} is the most")
    for name in names:
        if name == MANIFEST or len(name) > MAX_NAME_LENGTH or not SAFE_NAME.fullmatch(name):
            raise UnusableFiles(f"the cluster offers a file with an unsafe name: {name[:MAX_NAME_LENGTH]!a}")
    if missing := {file.name for file in artifacts.files} - names:
        raise UnusableFiles(f"the cluster announces files without an address: {len(missing)}")


def retry_pause(tries: int, first: timedelta) -> timedelta:
    """How long to wait after the `tries`-th try failed: `first`, then twice as long each time, 10 minutes at most."""
    return min(first * (1 << min(tries - 1, 20)), MAX_PAUSE)
