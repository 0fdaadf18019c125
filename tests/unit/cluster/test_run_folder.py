"""Reading what a trainer writes, whole lines at a time."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brightrun.cluster.files.run_folder import CHUNK_BYTES, RunFolder


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    (tmp_path / "adapter").mkdir()
    return RunFolder(tmp_path)


def test_before_the_trainer_reports_there_is_nothing(folder: RunFolder) -> None:
    assert folder.read_output(0) == ([], 0)
    assert folder.read_log(10) == (b"", 0)


def test_a_line_is_read_once_it_is_whole(folder: RunFolder) -> None:
    folder.output.write_bytes(b"one\ntw")
    assert folder.read_output(0) == ([b"one"], 4)
    assert folder.read_output(4) == ([], 4)
    folder.output.write_bytes(b"one\ntwo\n")
    assert folder.read_output(4) == ([b"two"], 8)


def test_a_torn_line_does_not_spoil_the_next_one(folder: RunFolder) -> None:
    folder.output.write_bytes(b"one\ntw")
    folder.drop_torn_line(4)
    with folder.output.open("ab") as out:
        out.write(b"three\n")
    assert folder.read_output(4) == ([b"three"], 10)


def test_a_line_without_end_does_not_stop_the_reading(folder: RunFolder) -> None:
    folder.output.write_bytes(b"x" * (CHUNK_BYTES + 1) + b"\nnext\n")
    _, offset = folder.read_output(0)
    assert folder.read_output(offset) == ([b"x", b"next"], CHUNK_BYTES + 7)


@given(lines=st.lists(st.binary(max_size=20).map(lambda line: line.replace(b"\n", b"").replace(b"\r", b""))))
def test_lines_written_in_any_pieces_are_read_once_each(tmp_path_factory: pytest.TempPathFactory, lines: list) -> None:
    folder, lines_read, offset = RunFolder(tmp_path_factory.mktemp("run")), [], 0
    for piece in b"".join(line + b"\n" for line in lines):
        with folder.output.open("ab") as out:
            out.write(bytes([piece]))
        new, offset = folder.read_output(offset)
        lines_read.extend(new)
    assert lines_read == lines


def test_the_log_is_read_from_its_end(folder: RunFolder) -> None:
    folder.log.write_text("".join(f"line {number}\n" for number in range(100_000)))
    assert folder.read_log(2) == (b"line 99998\nline 99999\n", folder.log.stat().st_size)
    assert len(folder.read_log(100_000)[0]) <= 256 << 10


def test_a_log_is_followed_from_where_it_was_read_to(folder: RunFolder) -> None:
    folder.append_log("one")
    _, offset = folder.read_log(0)
    folder.append_log("zwei é")
    text, offset = folder.read_log_from(offset)
    assert text.decode() == "zwei é\n"
    assert folder.read_log_from(offset) == (b"", offset)


@pytest.mark.parametrize("name", ["../secret", "missing", "link", "/etc/hostname"])
def test_a_file_outside_the_adapter_is_rejected(folder: RunFolder, name: str) -> None:
    (folder.path / "secret").write_text("secret")
    (folder.adapter / "link").symlink_to(folder.path / "secret")
    with pytest.raises(OSError):  # noqa: PT011 - which of them does not matter
        folder.describe_adapter([name])
