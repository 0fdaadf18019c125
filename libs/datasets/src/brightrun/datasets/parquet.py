"""`python -m brightrun.datasets.parquet FILE`: the rows of a Parquet file as JSON lines on standard output.

A process of its own: pyarrow takes 60 MiB, and a file that exhausts or crashes it harms nothing else.
"""

import resource
import sys

import msgspec
import pyarrow as pa
from pyarrow.parquet import ParquetFile

MAX_MEMORY_BYTES = 4 * 1024**3
"""Of addresses; a row group has to fit."""
BATCH_ROWS = 256


def main(path: str) -> None:
    """Write the rows; ends with one line on standard error if the file cannot be read."""
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    pa.set_cpu_count(1)
    encode = msgspec.json.Encoder(enc_hook=repr).encode
    try:
        with ParquetFile(path) as file:
            for batch in file.iter_batches(BATCH_ROWS, use_threads=False):
                sys.stdout.buffer.writelines(encode(row) + b"\n" for row in batch.to_pylist())
        sys.stdout.buffer.flush()
    except MemoryError:
        sys.exit("its row groups are too large: write it with smaller ones")
    except (pa.ArrowException, OSError, ValueError) as error:
        sys.exit(" ".join(str(error).split())[:200])


if __name__ == "__main__":
    main(sys.argv[1])
