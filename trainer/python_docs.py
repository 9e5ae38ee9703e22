"""The built-in text: what every CPython carries of its own documentation, so that nothing is ever downloaded.

`pydoc_data.topics` (the language reference) and the docstrings of the standard library's source, read with `ast`: no
module is imported or run. Deterministic for one Python release; knows nothing of tokenizers or of the data folder.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import os
import platform
import sysconfig
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

SHORTEST, LONGEST = 100, 100_000
"""Characters a document may have; shorter ones teach headings, longer ones are tables."""

_LEFT_OUT = frozenset(
    {"test", "tests", "idle_test", "site-packages", "__pycache__", "idlelib", "lib2to3", "turtledemo"}
)
BETWEEN = "\n\n\n"
"""What stands between two documents."""
_FORMAT = 1
"""Raise it when the text made here changes, so that cached copies are made again."""


def python_docs(cache: Path, say: Callable[[str], None] = lambda line: None) -> str:
    """The text, about 2 MB: documents separated by blank lines, in an order that mixes all subjects.

    Made once for a Python release (seconds) and kept in the folder `cache`, which is created; a cache that cannot be written
    costs only the seconds. `say` is told when it has to be made.
    """
    path = cache / f"python-docs-{platform.python_version()}-{_FORMAT}.txt"
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        say("collecting the documentation that this Python carries (once, a few seconds)")
        text = BETWEEN.join(documents())
    with contextlib.suppress(OSError):
        _write(path, text)
    return text


def documents() -> list[str]:
    """Every document once, ordered by its hash.

    The end of the text is held out for validation: ordered by subject it would be another subject than the rest.
    """
    unique = {_normal(text): text for text in [*_topics(), *_docstrings()] if SHORTEST <= len(text) <= LONGEST}
    return [unique[key] for key in sorted(unique, key=lambda key: hashlib.sha256(key.encode()).digest())]


def _normal(text: str) -> str:
    # The heading of an inherited docstring differs, its body does not: compare without the first line.
    return " ".join(text.partition("\n")[2].split())


def _topics() -> Iterator[str]:
    from pydoc_data.topics import topics

    for name in sorted(topics):
        yield f"{name}\n\n{topics[name].strip()}"


def _docstrings() -> Iterator[str]:
    library = Path(sysconfig.get_path("stdlib"))
    for path in sorted(_sources(library)):
        relative = path.relative_to(library)
        yield from _docstrings_of(path, ".".join(relative.with_suffix("").parts).removesuffix(".__init__"))


def _sources(library: Path) -> Iterator[Path]:
    # Not rglob: site-packages lies in the same folder and may hold twenty times as many files, all left out.
    for folder, folders, files in os.walk(library):
        folders[:] = [name for name in folders if name not in _LEFT_OUT]
        yield from (Path(folder, name) for name in files if name.endswith(".py"))


def _docstrings_of(path: Path, module: str) -> Iterator[str]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the library's own old escapes are not the user's business
            tree = ast.parse(path.read_text("utf-8"))
    except (OSError, SyntaxError, ValueError):
        return
    yield from _walk(tree, module)


def _walk(node: ast.AST, name: str) -> Iterator[str]:
    if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
        text = ast.get_docstring(node)
        if text:
            signature = (
                f"({ast.unparse(node.args)})" if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) else ""
            )
            yield f"{name}{signature}\n\n{text.strip()}"
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from _walk(child, f"{name}.{child.name}")


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Two workers may start at once: each writes its own file, the rename is atomic and both wrote the same text.
    partial = path.with_suffix(f".{os.getpid()}.partial")
    partial.write_text(text, "utf-8")
    partial.replace(path)
