"""From a data set's name to its documents and its text: built in, a .txt or .md file, JSON lines, or a folder of them. No tokens here."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from trainer.catalog import resolve, text_files
from trainer.errors import DataError
from trainer.python_docs import BETWEEN, python_docs

_ENCODING = "utf-8-sig"
"""UTF-8, without the mark that Windows' editors put before it: no character of the text, and no JSON."""
_TEXT_KEYS = ("text", "content", "document", "body")
_PAIR_KEYS = (("instruction", "response"), ("prompt", "completion"), ("question", "answer"))


@dataclass(frozen=True, slots=True)
class Source:
    """A data set as it was read: the documents in order, and what stands between two of them."""

    documents: tuple[str, ...]
    between: str = "\n\n"

    @property
    def text(self) -> str:
        """The whole text."""
        return self.between.join(self.documents)


def load_text(
    name: str, data_dir: Path, cache: Path, limit: int = 0, say: Callable[[str], None] = lambda line: None
) -> str:
    """The whole text of data set `name`, or its first `limit` characters (0: all). `say` is told what takes a while.

    Raises `ConfigError` for a name that leads nowhere and `DataError` for text that cannot be read or is empty.
    """
    return load_source(name, data_dir, cache, limit, say).text


def load_source(
    name: str, data_dir: Path, cache: Path, limit: int = 0, say: Callable[[str], None] = lambda line: None
) -> Source:
    """The documents of that text: a line of JSON lines, a file of another kind, or an entry of the built-in documentation."""
    path = resolve(name, data_dir)
    if path is None:
        source = Source(tuple(python_docs(cache, say).split(BETWEEN)), BETWEEN)
    else:
        source = Source(tuple(_read(path, data_dir, limit)))
    if limit:
        source = _first(source, limit)
    if not any(document.strip() for document in source.documents):
        raise DataError(f"the data set {name!r} has no text in it; choose another or put text into the file")
    return source


def _first(source: Source, limit: int) -> Source:
    """The first `limit` characters of the text; the last document may be cut short."""
    kept: list[str] = []
    left = limit
    for document in source.documents:
        if left < 0 or (kept and not left):
            break
        kept.append(document[:left])
        left -= len(document) + len(source.between)
    return Source(tuple(kept), source.between)


def _read(path: Path, data_dir: Path, limit: int) -> Iterator[str]:
    files = [path] if path.is_file() else text_files(path, data_dir)
    length = 0
    for file in files:
        if limit and length >= limit:
            return
        for document in _read_file(file, limit - length if limit else -1):
            length += len(document)
            yield document


def _read_file(path: Path, limit: int) -> Iterator[str]:
    """A file's documents; of plain text no more than `limit` characters (negative: all), however large the file is."""
    try:
        if path.suffix.lower() == ".jsonl":
            yield from _json_lines(path, limit)
            return
        with path.open(encoding=_ENCODING) as file:
            yield file.read(limit)
    except UnicodeDecodeError as error:
        raise DataError(f"{path.name} is not UTF-8 text (byte {error.start}); convert it to UTF-8") from None
    except OSError as error:
        raise DataError(f"{path.name} cannot be read: {error.strerror}") from None


def _json_lines(path: Path, limit: int) -> Iterator[str]:
    length = 0
    with path.open(encoding=_ENCODING) as lines:
        for number, line in enumerate(lines, start=1):
            if 0 <= limit <= length:
                return
            if line.strip():
                document = _document(line, f"{path.name} line {number}")
                length += len(document)
                yield document


def _document(line: str, where: str) -> str:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        raise DataError(f"{where} is not JSON; each line must be a string or an object with a text in it") from None
    if isinstance(value, str):
        return _whole(value)
    fields = value if isinstance(value, dict) else {}
    for key in _TEXT_KEYS:
        if isinstance(fields.get(key), str):
            return _whole(fields[key])
    for first, second in _PAIR_KEYS:
        if isinstance(fields.get(first), str) and isinstance(fields.get(second), str):
            return _whole(f"{fields[first]}\n{fields[second]}")
    pairs = " or ".join(f"{first} + {second}" for first, second in _PAIR_KEYS)
    raise DataError(f"{where} has no text: it needs one of {', '.join(_TEXT_KEYS)}, or {pairs}")


def _whole(text: str) -> str:
    # JSON can spell half of a surrogate pair, which is no character and which no tokenizer could give back.
    return text.encode("utf-8", "replace").decode("utf-8")
