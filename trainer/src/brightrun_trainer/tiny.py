"""The offline base models: Llamas of 1 M parameters (`tiny`) and 7 M (`small`) that have read Python's documentation.

`python -m brightrun_trainer.tiny DIR [--size small]` builds one once, in about half a minute, or several for `small`; a
second call finds it and returns.
"""

import argparse
import shutil
import tempfile
from pathlib import Path


def main() -> None:
    """Build the model in the folder given on the command line, unless it is there already."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", metavar="DIR", type=Path)
    parser.add_argument("--size", choices=["tiny", "small"], default="tiny")
    asked = parser.parse_args()
    folder: Path = asked.folder.resolve()
    if not (folder / "config.json").exists():
        build(folder, asked.size)


def build(folder: Path, size: str) -> None:
    """Build in a temporary folder beside `folder`, which appears only when it is complete."""
    # PyTorch takes seconds to import, and most calls have nothing to build.
    from brightrun_trainer import pretraining  # noqa: PLC0415

    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        pretraining.pretrain_into(unfinished, pretraining.RECIPES[size])
        _publish(unfinished, folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _publish(unfinished: Path, folder: Path) -> None:
    """Give the finished folder its name; whoever built it first at the same time wins."""
    unfinished.chmod(0o755)
    try:
        unfinished.rename(folder)
    except OSError:
        if not (folder / "config.json").exists():
            raise


if __name__ == "__main__":
    main()
