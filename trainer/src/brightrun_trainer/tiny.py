"""The tiny offline base model: a 1 M-parameter Llama that has read Python's own documentation.

`python -m brightrun_trainer.tiny DIR` builds it once, in about half a minute; a second call finds it and returns.
"""

import argparse
import shutil
import tempfile
from pathlib import Path


def main() -> None:
    """Build the model in the folder given on the command line, unless it is there already."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", metavar="DIR", type=Path)
    folder = parser.parse_args().folder.resolve()
    if not (folder / "config.json").exists():
        build(folder)


def build(folder: Path) -> None:
    """Build in a temporary folder beside `folder`, which appears only when it is complete."""
    # PyTorch takes seconds to import, and most calls have nothing to build.
    from brightrun_trainer import pretraining  # noqa: PLC0415

    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        pretraining.pretrain_into(unfinished)
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
