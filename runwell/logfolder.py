"""The logs in a folder: which files are one, and which belong together. Knows names and places, never reads a file."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

LOGS = re.compile(r"(?:.+\.(?:jsonl|ndjson|csv|tsv)|trainer_state\.json)(?:\.gz)?", re.IGNORECASE)
EVENTS = "tfevents"
"""In the name of every TensorBoard event file."""

CHECKPOINT = re.compile(r"checkpoint-(\d+)")
"""Hugging Face puts a copy of the history so far into each of these."""


def find_logs(folder: Path) -> list[Path]:
    """Everything under a folder that is named as logs are, in order of path; a folder of event files stands for itself.

    Hidden folders and links to folders are not entered. Of the copies of one history that checkpoints hold only the
    longest is taken. Raises `OSError` when the folder itself cannot be listed.
    """
    next(folder.iterdir(), None)  # os.walk would pass over it in silence
    return sorted(_without_copies(set(_walk(folder))))


def event_files(folder: Path) -> list[Path]:
    """The event files right in a folder, the oldest first: their names hold the time at which they were begun."""
    return sorted(path for path in folder.iterdir() if EVENTS in path.name and path.is_file())


def _walk(folder: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        if any(EVENTS in name for name in files):
            yield Path(place)
        yield from (Path(place, name) for name in files if LOGS.fullmatch(name))


def _without_copies(found: set[Path]) -> set[Path]:
    """Without the states of checkpoints whose run has a longer one: beside them, or in a later checkpoint."""
    best: dict[Path, Path] = {}
    kept: set[Path] = set()
    for path in found:
        match = CHECKPOINT.fullmatch(path.parent.name)
        if match is None or not path.name.startswith("trainer_state"):
            kept.add(path)
            continue
        run = path.parent.parent
        if run not in best or int(match[1]) > _number(best[run]):
            best[run] = path
    beside = {path.parent for path in kept if path.name.startswith("trainer_state")}
    return kept | {path for run, path in best.items() if run not in beside}


def _number(path: Path) -> int:
    match = CHECKPOINT.fullmatch(path.parent.name)
    return int(match[1]) if match else -1
