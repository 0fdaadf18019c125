"""`wheels.py FOLDER`: leaves out of the wheels in FOLDER what the trainer does not import, to fit into 64 MiB.

Exits 1 if they do not fit.
"""

import re
import sys
import zipfile
from pathlib import Path

UNUSED = re.compile(
    r"(pyarrow/(tests|include|src)/|pandas/tests/|"
    r"pyarrow/(lib)?(arrow_flight|arrow_python_flight|_flight)|pyarrow/.*\.(pyx|pxd|pxi|h)$)"
)
LIMIT = 64 << 20


def slim(wheel: Path) -> None:
    """Rewrite the wheel without these files, which its RECORD then does not list."""
    smaller = wheel.with_suffix(".part")
    with (
        zipfile.ZipFile(wheel) as source,
        zipfile.ZipFile(smaller, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as target,
    ):
        for item in source.infolist():
            if UNUSED.match(item.filename):
                continue
            content = source.read(item)
            if item.filename.endswith(".dist-info/RECORD"):
                lines = content.decode().splitlines(keepends=True)
                content = "".join(line for line in lines if not UNUSED.match(line.split(",")[0])).encode()
            target.writestr(item, content)
    smaller.replace(wheel)


def main() -> None:
    wheels = sorted(Path(sys.argv[1]).glob("*.whl"))
    for wheel in wheels:
        if wheel.name.startswith(("pyarrow-", "pandas-")):
            slim(wheel)
    size = sum(wheel.stat().st_size for wheel in wheels)
    print(f"{len(wheels)} wheels, {size / (1 << 20):.1f} MiB")
    sys.exit(size > LIMIT)


if __name__ == "__main__":
    main()
