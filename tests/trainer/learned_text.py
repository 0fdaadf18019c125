"""Run by the trainer's Python: prints what of a file's conversations is learned, one JSON list of strings."""

import json
import sys
from itertools import groupby
from pathlib import Path

from brightrun_trainer.data import read
from brightrun_trainer.model import load_base
from brightrun_trainer.tokens import IGNORED, Encoder

base = load_base("tiny")
encoder = Encoder(base.tokenizer, base.chat_template, limit=1024)
learned = []
for row in encoder.rows(read(Path(sys.argv[1]))):
    for ignored, labels in groupby(row["labels"], lambda label: label == IGNORED):
        if not ignored:
            learned.append(base.tokenizer.decode(list(labels)))
print(json.dumps(learned))
