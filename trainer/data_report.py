"""What a run says of its data: the audit of its text, and what the tokens it really trains on repeat, as one `data` event.

The audit is kept beside the tokens of the text; the tokens are measured at each start. docs/architecture.md lists the event's fields.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections import Counter
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

COUNTED = 4_000_000
"""Tokens at equal distances whose frequencies are counted."""
PIECES, PIECE, COMMON = 64, 512, 64
"""Pieces of tokens whose characters are counted, tokens in each, and characters that are told."""
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
        **_frequencies(corpus, stream),
        **(_repeats(corpus, stream, found) if found is not None else {}),
    }


def _frequencies(corpus: Corpus, stream: Packed) -> dict[str, Any]:
    """How often tokens and characters occur: what a model that knows no more than that loses, and what its text is made of."""
    stride = max(1, len(stream) // COUNTED)
    counts = np.bincount(stream[::stride]).astype(np.float64)
    shares = counts[counts > 0] / counts.sum()
    pieces = np.linspace(0, max(0, len(stream) - PIECE), PIECES).astype(np.int64)
    text = "".join(
        corpus.tokenizer.decode(stream[at : at + PIECE].astype(np.int64)) for at in np.unique(pieces).tolist()
    )
    common = Counter(text).most_common(COMMON)
    return {
        "unigram_entropy": round(float(-(shares * np.log(shares)).sum()), 4),
        "common_characters": "".join(char for char, _ in common),
        "common_shares": [round(count / len(text), 4) for _, count in common],
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
