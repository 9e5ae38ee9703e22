"""What a run says of its data: the audit of its text, and what the tokens it really trains on repeat, as one `data` event.

The audit is kept beside the tokens of the text; the tokens are measured at each start. docs/architecture.md lists the event's fields.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.audit import TextAudit, audit
from trainer.config import TrainConfig
from trainer.repeats import Repeats, measure, window_tokens

if TYPE_CHECKING:
    from trainer.data import Corpus, Packed

FILE = "audit-1.json"
"""Raise the number when something is measured in another way."""


def kept_audit(folder: Path, documents: Sequence[str]) -> TextAudit:
    """The audit of the documents whose tokens lie in `folder`: made once, and kept there."""
    path = folder / FILE
    with contextlib.suppress(OSError, ValueError, TypeError):
        found = TextAudit(**json.loads(path.read_text("utf-8")))
        if found.documents == len(documents):  # the same text may come as one document or as many
            return found
    made = audit(documents)
    with contextlib.suppress(OSError):  # a cache that cannot be written costs only the seconds
        partial = path.with_name(f"{FILE}.{os.getpid()}.partial")
        partial.write_text(json.dumps(asdict(made)), "utf-8")
        partial.replace(path)
    return made


def report(config: TrainConfig, corpus: Corpus, stream: Packed, parameters: int) -> dict[str, Any]:
    """The facts of a `data` event: `stream` is what the model trains on from now on."""
    planned = config.batch_size * config.accumulation_steps * config.context_length * config.max_steps
    window = window_tokens(corpus.characters, len(corpus.train) + len(corpus.val))
    found = measure(stream, corpus.val, window)
    return {
        "dataset": config.dataset,
        **corpus.audit.to_mapping(),
        "train_tokens": len(stream),
        "val_tokens": len(corpus.val),
        "planned_tokens": planned,
        "parameters": parameters,
        **(_repeats(corpus, stream, found) if found is not None else {}),
    }


def _repeats(corpus: Corpus, stream: Packed, found: Repeats) -> dict[str, Any]:
    told: dict[str, Any] = {
        "window_tokens": found.window,
        "distinct": round(found.distinct, 4),
        "repeated": round(found.repeated, 4),
        "most_places": found.most,
    }
    if found.most > 1:
        passage = stream[found.most_at : found.most_at + found.window].astype(np.int64)
        told["most_text"] = corpus.tokenizer.decode(passage)
    if found.overlap is not None:
        told["overlap"] = round(found.overlap, 4)
    return told
