"""Signatures of file URLs."""

import time

import pytest

from brightrun.cluster.downloads import file_urls
from brightrun.cluster.errors import BadFileUrl

SOON = int(time.time()) + 3600


def test_a_signed_query_opens_its_file() -> None:
    file_urls.check("key", "run_1", "a/b", **file_urls.sign("key", "run_1", "a/b", SOON))


@pytest.mark.parametrize(
    "changes",
    [{"key": "other"}, {"run_id": "run_2"}, {"name": "c"}, {"expires": str(SOON + 1)}, {"signature": "ü"}],
)
def test_a_signed_query_opens_no_other_file(changes: dict[str, str]) -> None:
    query = {"key": "key", "run_id": "run_1", "name": "a/b", **file_urls.sign("key", "run_1", "a/b", SOON)}
    with pytest.raises(BadFileUrl):
        file_urls.check(**query | changes)


def test_an_expired_query_opens_no_file() -> None:
    expired = file_urls.sign("key", "run_1", "a", int(time.time()) - 1)
    with pytest.raises(BadFileUrl):
        file_urls.check("key", "run_1", "a", **expired)
