"""`learned_text.py FILE`: prints the learned text of a file's conversations as a JSON list of strings."""

import json
import sys
from itertools import groupby
from pathlib import Path

from brightrun_trainer.data.examples import read
from brightrun_trainer.data.tokens import IGNORED, Encoder
from brightrun_trainer.model.base_model import load_base

base = load_base("tiny")
encoder = Encoder(base.tokenizer, base.chat_template, limit=1024)
learned = []
for example in read(Path(sys.argv[1]), pairs=False):
    row, _ = encoder.row(example)
    if row is None:
        continue
    for ignored, labels in groupby(row["labels"], lambda label: label == IGNORED):
        if not ignored:
            learned.append(base.tokenizer.decode(list(labels)))
print(json.dumps(learned))
