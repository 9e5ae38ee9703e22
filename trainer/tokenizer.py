"""Tokenizers: characters, bytes, and BPE learned from the training part; each decodes exactly what it encoded.

They know text and token ids, nothing of files or training. Saved as one JSON object inside every checkpoint.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from trainer.errors import TokenizerError

Tokens = NDArray[np.int64]
_CHUNK = 200_000
"""Characters encoded at once: bounded memory on large files, and both cores at work."""


class Tokenizer(Protocol):
    """What the trainer needs of a tokenizer."""

    kind: str

    @property
    def size(self) -> int:
        """Number of different tokens, V; ids are 0 … V-1."""

    def encode(self, text: str) -> Tokens:
        """Token ids of `text`, shape (n,). Raises `TokenizerError` when some of it has no token."""

    def decode(self, ids: Sequence[int] | Tokens) -> str:
        """The text of `ids`. Bytes that are not whole UTF-8 show as U+FFFD."""

    def to_json(self) -> dict[str, Any]:
        """Everything needed to build it again with `from_json`."""


class CharTokenizer:
    """One token a character; knows the characters of the text that it was made from and no other."""

    kind = "char"

    def __init__(self, characters: str) -> None:
        self._characters = characters
        # A table by code point encodes a whole text with one indexing operation.
        self._codes = np.array([ord(character) for character in characters], dtype=np.int64)
        self._table = np.full(int(self._codes.max(initial=0)) + 1, -1, dtype=np.int64)
        self._table[self._codes] = np.arange(len(characters))

    @property
    def size(self) -> int:
        return len(self._characters)

    def encode(self, text: str) -> Tokens:
        codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.int64)
        inside = codes < len(self._table)
        ids = np.where(inside, self._table[np.where(inside, codes, 0)], -1)
        if (ids < 0).any():
            unknown = sorted({chr(code) for code in codes[ids < 0]})
            shown = ", ".join(repr(character) for character in unknown[:5])
            raise TokenizerError(
                f"the text has characters that the data does not: {shown}; use tokenizer = byte or bpe"
            )
        return ids

    def decode(self, ids: Sequence[int] | Tokens) -> str:
        return "".join(self._characters[int(i)] for i in ids)

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.kind, "characters": self._characters}


class ByteTokenizer:
    """The 256 bytes of UTF-8: any text, no training, long sequences."""

    kind = "byte"
    size = 256

    def encode(self, text: str) -> Tokens:
        return np.frombuffer(text.encode("utf-8", "surrogatepass"), dtype=np.uint8).astype(np.int64)

    def decode(self, ids: Sequence[int] | Tokens) -> str:
        raw = bytes(int(i) for i in ids)
        try:
            return raw.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            return raw.decode("utf-8", "replace")

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.kind}


class BpeTokenizer:
    """Byte-level byte-pair encoding: pieces learned from text, every other text still representable."""

    kind = "bpe"

    def __init__(self, model: str) -> None:
        import tokenizers

        self._model = model
        self._tokenizer = tokenizers.Tokenizer.from_str(model)

    @classmethod
    def train(cls, text: str, size: int) -> BpeTokenizer:
        """Learn up to `size` pieces from `text`; a short text gives fewer."""
        import tokenizers
        from tokenizers import decoders, models, pre_tokenizers, trainers

        tokenizer = tokenizers.Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
        trainer = trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, show_progress=False)
        tokenizer.train_from_iterator(chunks(text, _CHUNK), trainer)
        return cls(tokenizer.to_str())

    @property
    def size(self) -> int:
        return int(self._tokenizer.get_vocab_size())

    def encode(self, text: str) -> Tokens:
        encodings = self._tokenizer.encode_batch_fast(list(chunks(text, _CHUNK)))
        return np.concatenate([np.asarray(e.ids, dtype=np.int64) for e in encodings] or [np.empty(0, dtype=np.int64)])

    def decode(self, ids: Sequence[int] | Tokens) -> str:
        return str(self._tokenizer.decode([int(i) for i in ids], skip_special_tokens=False))

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.kind, "model": json.loads(self._model)}


def make_tokenizer(kind: str, size: int, training_text: str, whole_text: str) -> Tokenizer:
    """The tokenizer of that kind. BPE learns from the training part alone; characters must know the validation part too."""
    if kind == "char":
        return CharTokenizer("".join(sorted(set(whole_text))))
    return ByteTokenizer() if kind == "byte" else BpeTokenizer.train(training_text, size)


def from_json(saved: Mapping[str, Any]) -> Tokenizer:
    """Build a tokenizer again from `to_json`. Raises `TokenizerError` when it is not one."""
    try:
        if saved["kind"] == "char":
            return CharTokenizer(str(saved["characters"]))
        return ByteTokenizer() if saved["kind"] == "byte" else BpeTokenizer(json.dumps(saved["model"]))
    except Exception as error:  # the tokenizers library raises bare Exception for a bad model
        raise TokenizerError(f"the saved tokenizer cannot be read: {error}") from None


def check_round_trip(tokenizer: Tokenizer, text: str) -> None:
    """Raise `TokenizerError` with the first difference unless decode(encode(text)) is text and every id is below V."""
    ids = tokenizer.encode(text)
    if len(ids) and not 0 <= int(ids.min()) <= int(ids.max()) < tokenizer.size:
        raise TokenizerError(
            f"the {tokenizer.kind} tokenizer made the id {int(ids.max())}; its vocabulary ends at {tokenizer.size - 1}"
        )
    back = tokenizer.decode(ids)
    if back == text:
        return
    at = next((i for i, (a, b) in enumerate(zip(text, back, strict=False)) if a != b), min(len(text), len(back)))
    raise TokenizerError(
        f"the {tokenizer.kind} tokenizer does not give the text back: at character {at}, "
        f"{text[at : at + 20]!r} became {back[at : at + 20]!r}; the model would learn from broken text"
    )


def chunks(text: str, size: int) -> Iterator[str]:
    """Pieces of at most `size` characters, cut before a line break where there is one so that no word is cut in two."""
    start = 0
    while start < len(text):
        end = min(start + size, len(text))
        if end < len(text):
            cut = text.rfind("\n", start, end)
            end = cut if cut > start else end
        yield text[start:end]
        start = end
