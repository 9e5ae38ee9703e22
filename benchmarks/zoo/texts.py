"""The texts that the zoo's models learn: what this Python carries, and two that are made up. Nothing is downloaded.

`docs` and `code` depend on the Python release; the recordings are therefore kept, not only the command that makes them.
"""

from __future__ import annotations

import random
import sysconfig
from collections.abc import Callable
from functools import cache
from pathlib import Path

from trainer.python_docs import python_docs

LENGTH = 200_000
"""Characters of each text."""
CHAPTER, CHAPTERS = 12_000, 4
"""Characters of a chapter, and chapters of each kind: read through several times in a run."""
MODULES = (
    "argparse",
    "ast",
    "difflib",
    "inspect",
    "pathlib",
    "statistics",
    "tarfile",
    "typing",
    "subprocess",
    "zipfile",
)


@cache
def text(name: str, folder: Path) -> str:
    """The text of that name; `folder` holds what takes seconds to make. Raises `KeyError` for an unknown name."""
    makers: dict[str, Callable[[], str]] = {
        "docs": lambda: python_docs(folder),
        "code": _code,
        "sums": _sums,
        "words": _words,
        "chapters": lambda: _chapters(folder),
    }
    return makers[name]()[:LENGTH]


def _chapters(folder: Path) -> str:
    """Prose and code in turns."""
    pairs = zip(_pieces(text("docs", folder)), _pieces(text("code", folder)), strict=True)
    return "".join(piece for pair in pairs for piece in pair)


def _pieces(whole: str) -> list[str]:
    return [whole[at : at + CHAPTER] for at in range(0, CHAPTERS * CHAPTER, CHAPTER)]


def _code() -> str:
    """Pieces of source in no order: the end, which is held out, must not be of another module than the rest."""
    library = Path(sysconfig.get_paths()["stdlib"])
    whole = "\n\n".join((library / f"{module}.py").read_text("utf-8") for module in MODULES)
    pieces = whole.split("\n\n")
    random.Random(4).shuffle(pieces)
    return "\n\n".join(pieces)


def _sums() -> str:
    numbers = random.Random(5)
    pairs = ((numbers.randrange(1000), numbers.randrange(1000)) for _ in range(LENGTH // 12))
    return "\n".join(f"{a}+{b}={a + b}" for a, b in pairs)


def _words() -> str:
    """Made-up words, few of them common and most of them rare, each with its own favourites to follow it."""
    numbers = random.Random(6)
    words = ["".join(numbers.choices("etaoinshrdlucm", k=numbers.randint(2, 9))) for _ in range(600)]
    weights = [1.0 / (rank + 1) for rank in range(len(words))]
    followers = {word: numbers.choices(words, weights, k=8) for word in words}
    written, length, word = [], 0, words[0]
    while length < LENGTH:
        word = numbers.choice(followers[word]) if numbers.random() < 0.8 else numbers.choices(words, weights)[0]
        written.append(word + (".\n" if numbers.random() < 0.08 else " "))
        length += len(written[-1])
    return "".join(written)
