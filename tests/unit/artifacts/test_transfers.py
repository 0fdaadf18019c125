"""What a cluster may offer, how it is written down, and when a failure is tried again."""

import json
from datetime import timedelta

import pytest

from brightrun.artifacts.models.models import Comparison
from brightrun.artifacts.models.rules.manifest import read_comparison
from brightrun.artifacts.models.rules.transfers import UnusableFiles, check_files, retry_pause
from brightrun.contracts.cluster_api import ClusterFile, RunArtifacts


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "checkpoint-10/adapter_config.json", "a..b"])
def test_plain_relative_names_are_accepted(name: str):
    check_files(RunArtifacts(download_urls={name: "/x"}))


@pytest.mark.parametrize(
    "name",
    [
        "../adapter",
        "a/../b",
        "/etc/passwd",
        "a//b",
        "a/",
        ".hidden",
        "",
        "a\0b",
        "a\\b",
        "C:x",
        "аdapter",
        "a" * 4096,
        "a b",
        "a\n",
        "manifest.json",
    ],
)
def test_unsafe_names_are_refused(name: str):
    with pytest.raises(UnusableFiles):
        check_files(RunArtifacts(download_urls={"adapter.bin": "/x", name: "/y"}))


def test_incomplete_and_endless_offers_are_refused():
    announced = ClusterFile(name="lost.bin", size=1, sha256="0" * 64)
    for offer in (
        RunArtifacts(download_urls={}),
        RunArtifacts(download_urls={"a": "/x"}, files=(announced,)),
        RunArtifacts(download_urls={f"f{number}": "/x" for number in range(1001)}),
    ):
        with pytest.raises(UnusableFiles):
            check_files(offer)


@pytest.mark.parametrize(
    "nonsense", ["{}", '{"comparison": 5}', '{"comparison": {"base_loss": NaN, "adapter_loss": 1, "examples": 2}}']
)
def test_a_comparison_that_makes_no_sense_is_none(nonsense: str):
    assert read_comparison(json.loads(nonsense)) is None


def test_a_comparison_is_read_from_the_trainers_metadata():
    metadata = {"comparison": {"base_loss": 2.0, "adapter_loss": 1.0, "examples": 24, "more": "ignored"}}
    assert read_comparison(metadata) == Comparison(base_loss=2.0, adapter_loss=1.0, examples=24)


def test_pauses_double_up_to_ten_minutes():
    first = timedelta(seconds=10)
    assert [retry_pause(tries, first).total_seconds() for tries in (1, 2, 3, 7, 8, 99)] == [10, 20, 40, 600, 600, 600]
