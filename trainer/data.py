"""Text to training batches: split without overlap, tokens in memory-mapped files, and which windows a step sees.

The windows of a step depend on seed and step alone, so that a resumed run sees exactly what an uninterrupted one would have.
Knows nothing of models; `trainer.sources` reads the text.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from trainer.audit import TextAudit
from trainer.config import TrainConfig
from trainer.data_report import kept_audit
from trainer.errors import DataError
from trainer.tokenizer import Tokenizer, check_round_trip, chunks, from_json, make_tokenizer

Packed = NDArray[np.uint16] | NDArray[np.uint32]
Batch = tuple[torch.Tensor, torch.Tensor]

_FORMAT = 1
_CACHED_AT_MOST = 20
_CHECKED_CHARACTERS = 20_000
_ENCODED_AT_ONCE = 4_000_000
"""Characters: ids on the way to disk take 8 bytes each, so this bounds the memory of a large text."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Corpus:
    """A data set ready to train on: its tokenizer and both parts as token ids, shape (n,), mapped from disk."""

    tokenizer: Tokenizer
    train: Packed
    val: Packed
    characters: int
    """Characters of the text before the split."""
    audit: TextAudit
    """What was counted in the text's documents."""
    opening: tuple[str, ...]
    """Two short openings from the validation part, for prompts."""


def split(text: str, validation_fraction: float) -> tuple[str, str]:
    """Training part and validation part: the first characters and the last, every character in exactly one of them."""
    cut = int(len(text) * (1.0 - validation_fraction) + 1e-9)
    return text[:cut], text[cut:]


def prepare(
    config: TrainConfig,
    text: str,
    cache: Path,
    tokenizer: Tokenizer | None = None,
    say: Callable[[str], None] = lambda line: None,
    documents: Sequence[str] = (),
) -> Corpus:
    """Split, learn the tokenizer (unless one is given, as a resume does), encode, audit; kept in `cache` by content.

    `documents` are those that the text was joined from (none: it is one). `say` is told what takes a while. Raises `TokenizerError` when the round trip fails and `DataError` when a part is shorter than one context.
    """
    train_text, val_text = split(text, config.validation_fraction)
    folder = cache / "tokens" / _key(config, text, tokenizer)
    if not (folder / "tokenizer.json").is_file():
        if tokenizer is None and config.tokenizer == "bpe":
            say(f"learning a BPE vocabulary of {config.vocab_size:,} tokens from {len(train_text):,} characters")
        tokenizer = tokenizer or make_tokenizer(config.tokenizer, config.vocab_size, train_text, text)
        say(f"encoding {len(text):,} characters")
        _store(folder, tokenizer, train_text, val_text)
    with contextlib.suppress(OSError):
        os.utime(folder)  # used just now: the last to be tidied away
    tokenizer = tokenizer or from_json(json.loads((folder / "tokenizer.json").read_text("utf-8")))
    for piece in (text[:_CHECKED_CHARACTERS], val_text[-_CHECKED_CHARACTERS:]):
        check_round_trip(tokenizer, piece)
    dtype = _dtype(tokenizer)
    train, val = (np.memmap(folder / f"{part}.bin", dtype=dtype, mode="r") for part in ("train", "val"))
    _check_lengths(config, len(train), len(val))
    opening = tuple(_openings(val_text, config.context_length))
    audited = kept_audit(folder, documents or (text,))
    return Corpus(tokenizer=tokenizer, train=train, val=val, characters=len(text), audit=audited, opening=opening)


class Batches:
    """Windows of the training part, shuffled: every epoch sees each token once, in a new order and cut at new places.

    `draw` is a pure function of (seed, step, pass). Drawing with replacement would leave 37 % of the text unseen in the
    first epoch; in one run on tiny Shakespeare that cost 0.007 nats
    of validation loss.
    """

    def __init__(self, tokens: Packed, config: TrainConfig) -> None:
        self._tokens = tokens
        self._seed = config.seed
        self._size = config.batch_size
        self._passes = config.accumulation_steps
        self._window = np.arange(config.context_length + 1)
        # One window fewer than fit leaves room to shift the cuts from epoch to epoch.
        self._per_epoch = max(1, (len(tokens) - 1) // config.context_length - 1)
        self._epoch = -1
        self._starts = np.empty(0, dtype=np.int64)

    def draw(self, step: int, micro: int) -> Batch:
        """Inputs and targets of one pass (from 0) of a step (from 1), both (B, T) int64; targets are inputs shifted by one."""
        first = ((step - 1) * self._passes + micro) * self._size
        starts = np.array([self._start(number) for number in range(first, first + self._size)])
        return _windows(self._tokens, starts, self._window)

    def _start(self, number: int) -> int:
        """Where the window of that number (counted from the start of the run) begins."""
        epoch, place = divmod(number, self._per_epoch)
        if epoch != self._epoch:
            self._epoch, self._starts = epoch, self._shuffle(epoch)
        return int(self._starts[place])

    def _shuffle(self, epoch: int) -> NDArray[np.int64]:
        # Philox is counter-based: any epoch's order can be made without making those before it.
        random = np.random.Generator(np.random.Philox(key=self._seed, counter=[0, 0, epoch, 0]))
        length = len(self._window) - 1
        shift = random.integers(0, len(self._tokens) - 1 - self._per_epoch * length, endpoint=True)
        return random.permutation(self._per_epoch) * length + shift


def evaluation_batches(tokens: Packed, config: TrainConfig, batches: int | None = None) -> list[Batch]:
    """At most `batches` (default `eval_batches`) batches of windows spread evenly over the validation part, never overlapping.

    The same windows every time: two evaluations differ by the model alone. The last batch may be smaller than the others.
    """
    window = np.arange(config.context_length + 1)
    available = (len(tokens) - 1) // config.context_length
    wanted = min((config.eval_batches if batches is None else batches) * config.batch_size, available)
    starts = np.linspace(0, len(tokens) - len(window), wanted).astype(np.int64)
    pieces = [starts[i : i + config.batch_size] for i in range(0, wanted, config.batch_size)]
    return [_windows(tokens, piece, window) for piece in pieces]


def _windows(tokens: Packed, starts: NDArray[np.int64], window: NDArray[np.int64]) -> Batch:
    block = torch.from_numpy(tokens[starts[:, None] + window].astype(np.int64))  # (B, T+1)
    return block[:, :-1].contiguous(), block[:, 1:].contiguous()


def _dtype(tokenizer: Tokenizer) -> type[np.uint16] | type[np.uint32]:
    return np.uint16 if tokenizer.size <= 1 << 16 else np.uint32


def _key(config: TrainConfig, text: str, tokenizer: Tokenizer | None) -> str:
    given = tokenizer.to_json() if tokenizer else None
    learned = config.vocab_size if config.tokenizer == "bpe" else 0
    recipe = json.dumps([_FORMAT, config.tokenizer, learned, config.validation_fraction, given], sort_keys=True)
    return hashlib.sha256(recipe.encode() + b"\0" + text.encode("utf-8")).hexdigest()[:32]


def _store(folder: Path, tokenizer: Tokenizer, train_text: str, val_text: str) -> None:
    # Written aside and renamed: another worker never sees half of it, and a killed one leaves nothing that is taken for whole.
    partial = folder.with_name(f"{folder.name}.{os.getpid()}.partial")
    partial.mkdir(parents=True, exist_ok=True)
    for part, text in (("train", train_text), ("val", val_text)):
        with (partial / f"{part}.bin").open("wb") as file:
            for piece in chunks(text, _ENCODED_AT_ONCE):
                tokenizer.encode(piece).astype(_dtype(tokenizer)).tofile(file)
    (partial / "tokenizer.json").write_text(json.dumps(tokenizer.to_json()), "utf-8")
    try:
        partial.rename(folder)
    except OSError:  # another worker was first, with the same content
        shutil.rmtree(partial, ignore_errors=True)
    _prune(folder.parent)


def _prune(cache: Path) -> None:
    # A worker that still maps a removed file keeps it until it ends.
    folders = sorted((path for path in cache.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime)
    for old in folders[:-_CACHED_AT_MOST]:
        shutil.rmtree(old, ignore_errors=True)


def _check_lengths(config: TrainConfig, train: int, val: int) -> None:
    for part, length in (("training", train), ("validation", val)):
        if length <= config.context_length:
            raise DataError(
                f"the {part} part has {length:,} tokens, too few for one context of {config.context_length}; use more text, "
                f"a shorter context_length (--context-length)"
                + (" or a larger validation_fraction (--validation-fraction)" if part == "validation" else "")
            )


def _openings(text: str, context_length: int) -> list[str]:
    """The start of the validation text and one from its middle: whole words, about 40 characters, well inside the context."""
    length = min(40, max(4, context_length // 2))
    openings = []
    for place in (0, len(text) // 2):
        words = text[place : place + 4 * length].split(" ")[1:]  # the first word may have lost its head to the cut
        opening = " ".join(words)[: length + 1].rpartition(" ")[0].strip() or text[place : place + length]
        openings.append(opening)
    return openings
