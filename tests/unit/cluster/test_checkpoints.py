"""Checkpoints on disk: complete ones, their files, and those that another run adopts."""

import hashlib
import json
import os
from pathlib import Path

import pytest

from brightrun.cluster.files import checkpoints


def save(folder: Path, step: int, weights: bytes = b"weights") -> Path:
    checkpoint = folder / f"checkpoint-{step}"
    (checkpoint / "deep").mkdir(parents=True)
    (checkpoint / "deep" / "weights.bin").write_bytes(weights)
    (checkpoint / "trainer_state.json").write_text(json.dumps({"global_step": step}))
    return checkpoint


def tear(folder: Path, step: int) -> None:
    (save(folder, step) / "trainer_state.json").write_text('{"global_st')


def test_only_complete_checkpoints_count_oldest_first(tmp_path: Path) -> None:
    for step in (100, 20):
        save(tmp_path, step)
    tear(tmp_path, 120)
    (tmp_path / "checkpoint-empty").mkdir()
    saved = checkpoints.complete_checkpoints(tmp_path)
    assert [checkpoint.step for checkpoint in saved] == [20, 100]
    assert saved[0].size == len(b"weights") + (saved[0].path / "trainer_state.json").stat().st_size


def test_a_run_adopts_all_complete_checkpoints_without_copying_them(tmp_path: Path) -> None:
    source, target = tmp_path / "a" / "checkpoints", tmp_path / "b" / "checkpoints"
    target.mkdir(parents=True)
    for step in (20, 40):
        save(source, step)
    tear(source, 60)
    assert checkpoints.adopt(source, target) == 40
    assert [checkpoint.step for checkpoint in checkpoints.complete_checkpoints(target)] == [20, 40]
    linked = (target / "checkpoint-40" / "deep" / "weights.bin").stat()
    assert linked.st_nlink == 2
    assert {path.name for path in target.iterdir()} == {"checkpoint-20", "checkpoint-40"}


def test_adoption_can_be_repeated_after_a_crash(tmp_path: Path) -> None:
    source, target = tmp_path / "a", tmp_path / "b"
    save(source, 20)
    (target / "adopting-20").mkdir(parents=True)
    (target / "adopting-20" / "half").write_text("torn")
    assert checkpoints.adopt(source, target) == checkpoints.adopt(source, target) == 20
    assert {path.name for path in (target / "checkpoint-20").iterdir()} == {"deep", "trainer_state.json"}


def test_files_are_copied_where_links_are_impossible(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(18, "cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    save(tmp_path / "a", 20)
    (tmp_path / "b").mkdir()
    checkpoints.adopt(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b" / "checkpoint-20" / "deep" / "weights.bin").read_bytes() == b"weights"


def test_without_a_complete_checkpoint_there_is_nothing_to_adopt(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    tear(tmp_path / "a", 20)
    with pytest.raises(FileNotFoundError):
        checkpoints.adopt(tmp_path / "a", tmp_path / "b")


def test_the_adapter_of_a_complete_checkpoint_is_described_with_its_digests(tmp_path: Path) -> None:
    checkpoint = save(tmp_path, 20)
    for name in ("adapter_config.json", "adapter_model.safetensors", "optimizer.pt"):
        (checkpoint / name).write_bytes(name.encode())
    files = checkpoints.describe_checkpoint(tmp_path, 20)
    assert [(file.name, file.size) for file in files] == [
        ("adapter_config.json", 19),
        ("adapter_model.safetensors", 25),
    ]
    assert files[0].sha256 == hashlib.sha256(b"adapter_config.json").hexdigest()


@pytest.mark.parametrize("case", ["absent", "torn", "without weights"])
def test_an_incomplete_checkpoint_is_not_described(tmp_path: Path, case: str) -> None:
    if case == "torn":
        tear(tmp_path, 20)
    elif case == "without weights":
        save(tmp_path, 20)
    with pytest.raises(FileNotFoundError):
        checkpoints.describe_checkpoint(tmp_path, 20)
