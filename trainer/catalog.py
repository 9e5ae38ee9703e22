"""Which data sets exist, and where a name leads. Names come from the network: nothing outside the data folder is reachable.

Standard library only, because the server lists data sets and checks launches with it. Reading is `trainer.sources`' work.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trainer.config import DATASET, ConfigError

BUILT_IN = "python-docs"
SUFFIXES = (".txt", ".md", ".jsonl")
LISTED_AT_MOST = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class DatasetInfo:
    """One data set that a launch may name. `kind` is `built-in`, `file` or `folder`; `bytes` its size on disk."""

    name: str
    kind: str
    bytes: int
    note: str


def list_datasets(data_dir: Path) -> list[DatasetInfo]:
    """The built-in data set first, then files and folders directly under `data_dir` that can be trained on, by name.

    A folder that does not exist has none. Names that a launch could not use (odd characters, links out) are left out.
    """
    found = [
        DatasetInfo(name=BUILT_IN, kind="built-in", bytes=0, note="Python's own documentation, about 2 MB of English")
    ]
    if not data_dir.is_dir():
        return found
    try:
        paths = sorted(data_dir.iterdir())
    except OSError:
        return found  # not ours to read: nothing in it can be trained on
    for path in paths[:LISTED_AT_MOST]:
        info = _describe(path, data_dir)
        if info is not None:
            found.append(info)
    return found


def resolve(name: str, data_dir: Path) -> Path | None:
    """The file or folder that `name` stands for, inside `data_dir` with links followed; `None` for the built-in one.

    Raises `ConfigError` (setting `dataset`) for a name that is malformed, missing, of an unknown kind, or leads outside.
    """
    if name == BUILT_IN:
        return None
    root = data_dir.resolve()
    path = root / name
    if _escapes(name, path, root):
        raise ConfigError(
            "dataset", f"dataset = {name[:80]!r} leads outside the data folder {root}; name a file inside it"
        )
    if not path.exists():
        raise ConfigError("dataset", _missing(name, root))
    if path.is_file() and path.suffix.lower() not in SUFFIXES:
        allowed = ", ".join(SUFFIXES)
        raise ConfigError(
            "dataset", f"dataset = {name!r} is a {path.suffix or 'nameless'} file; files can be {allowed}"
        )
    if not path.is_file() and not path.is_dir():
        raise ConfigError("dataset", f"dataset = {name!r} is neither a file nor a folder; name one that holds text")
    if path.is_dir() and not any(text_files(path, root)):
        raise ConfigError("dataset", f"dataset = {name!r} is a folder without any {', '.join(SUFFIXES)} file in it")
    return path.resolve()


def text_files(folder: Path, root: Path) -> Iterator[Path]:
    """The text files in `folder` and below, in order of their paths; those that lead out of `root` are left out."""
    inside = root.resolve()
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in SUFFIXES and path.is_file() and path.resolve().is_relative_to(inside):
            yield path


def _escapes(name: str, path: Path, root: Path) -> bool:
    # Checked on the real path, links followed, and on the name: a name with '..' that happens to end inside is refused too.
    parts = name.replace("\\", "/").split("/")
    if name.startswith(("/", "~")) or ".." in parts or "\0" in name or not _allowed(name):
        return True
    # realpath, because Path.resolve raises on a link that leads to itself.
    return not Path(os.path.realpath(path)).is_relative_to(root)


def _allowed(name: str) -> bool:
    return re.fullmatch(DATASET.pattern, name) is not None


def _missing(name: str, root: Path) -> str:
    names = [info.name for info in list_datasets(root)]
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there is: {', '.join(names[:20])}"
    return f"dataset = {name!r} is not in the data folder {root}; {hint}"


def _describe(path: Path, data_dir: Path) -> DatasetInfo | None:
    try:
        if not path.exists():
            return None  # a link to nowhere: resolving it would list this very folder for the message, and so on without end
        real = resolve(path.name, data_dir)
        if real is None or not real.exists():
            return None
        if real.is_file():
            return DatasetInfo(name=path.name, kind="file", bytes=real.stat().st_size, note=f"{real.suffix[1:]} file")
        files = list(text_files(real, data_dir))
        size = sum(file.stat().st_size for file in files)
        return DatasetInfo(name=path.name, kind="folder", bytes=size, note=f"{len(files)} files")
    except (ConfigError, OSError):
        return None
