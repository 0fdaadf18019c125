"""The offline base models: Llamas of 1 M (`tiny`) and 7 M (`small`) parameters, trained on Python's documentation.

`python -m brightrun_trainer.tiny DIR [--size small]` builds one, `tiny` in half a minute and `small` in several; a
second call finds it and returns.
"""

import argparse
import shutil
import tempfile
from pathlib import Path


def main() -> None:
    """Build the model in the folder given on the command line, unless it exists."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", metavar="DIR", type=Path)
    parser.add_argument("--size", choices=["tiny", "small"], default="tiny")
    arguments = parser.parse_args()
    folder: Path = arguments.folder.resolve()
    if not (folder / "config.json").exists():
        build(folder, arguments.size)


def build(folder: Path, size: str) -> None:
    """Build in a temporary folder and rename it to `folder` once it is complete; a concurrent build may win."""
    # PyTorch takes seconds to import, and most calls have nothing to build.
    from brightrun_trainer.offline import pretraining  # noqa: PLC0415

    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        pretraining.pretrain_into(unfinished, pretraining.RECIPES[size])
        unfinished.chmod(0o755)
        unfinished.rename(folder)
    except OSError:
        if not (folder / "config.json").exists():
            raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


if __name__ == "__main__":
    main()
