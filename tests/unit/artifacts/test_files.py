"""Which files and metadata of a cluster are accepted, and when a transfer is retried."""

import json
from datetime import timedelta
from typing import Any

import pytest

from brightrun.artifacts.models.models import Comparison, ModelReport
from brightrun.artifacts.models.rules.files import (
    UnusableFiles,
    check_files,
    read_comparison,
    read_report,
    retry_pause,
)
from brightrun.contracts.cluster_api import ClusterFile, RunArtifacts

SAMPLE = {
    "messages": [{"role": "user", "content": "My chain\0 slips."}],
    "expected": "Wear.",
    "base": "",
    "adapter": "W",
}
TOLD: dict[str, Any] = {
    "revision": "4f2e",
    "chat_template": {"file": "chat_template.jinja", "sha256": "cd" * 32, "name": None},
    "versions": {"peft": "0.21.2"},
    "serving": {"peft": True, "vllm": True, "vllm_options": ["--max-lora-rank", "32"], "findings": []},
    "samples": [SAMPLE],
}


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


def test_a_report_is_stored_without_nul():
    report = read_report(TOLD)
    assert (report.base_revision, report.versions) == ("4f2e", {"peft": "0.21.2"})
    assert report.serving
    assert report.serving.vllm_options == ("--max-lora-rank", "32")
    assert report.samples[0].messages[0].content == "My chain slips."


@pytest.mark.parametrize("name", TOLD)
@pytest.mark.parametrize("wrong", [5, ["x"], {"file": 3}, "x" * 30_000])
def test_an_invalid_field_alone_is_left_out(name: str, wrong: Any):
    field = "base_revision" if name == "revision" else name
    report = read_report(TOLD | {name: wrong})
    assert getattr(report, field) == getattr(ModelReport(), field)
    assert report.model_dump(exclude={field}) == read_report(TOLD).model_dump(exclude={field})


def test_a_cluster_may_tell_nothing():
    assert read_report({}) == ModelReport()
