"""What of a cluster's metadata is kept."""

from typing import Any

import pytest

from brightrun.artifacts.models.models import ModelReport
from brightrun.artifacts.models.rules.reports import read_report

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
