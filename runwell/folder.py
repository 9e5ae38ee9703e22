"""A writer's folder in the spool: the names in it, its lock, its small files, its removal.

The lock lives exactly as long as the process that holds it, SIGKILL included: it tells whether a writer lives.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any

LOCK, META, ACK, SPARE, REFUSED_FILE = "lock", "writer.json", "ack.json", "spare", "refused.jsonl"

if sys.platform == "win32":
    import msvcrt

    def _take(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _take(descriptor: int) -> None:
        # flock, not lockf: the lock must not vanish when some other part of the process opens and closes the file
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def try_lock(path: Path) -> int | None:
    """Take the lock file, making it if needed: its descriptor (close it to let go), or None when another holds it.

    Raises `OSError` when the file cannot be made. The descriptor is not inherited by programs that are started.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
    try:
        _take(descriptor)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def write_json(path: Path, value: str) -> None:
    """Replace a small file so that a reader sees the old or the new content, never a part. Raises `OSError`."""
    draft = path.with_name(path.name + ".new")
    draft.write_text(value, encoding="utf-8")
    draft.replace(path)


def read_json(path: Path) -> dict[str, Any]:
    """The object in a small file; empty when it is absent or damaged."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def remove_folder(folder: Path) -> None:
    """Remove a writer's folder with what is in it, and its run's folder when that is empty then.

    Records that a server refused (`refused.jsonl`) are kept, and so is the folder then.
    """
    with contextlib.suppress(OSError):
        # writer.json first: without it, nobody takes the folder for a spool any more
        for path in sorted(folder.iterdir(), key=lambda path: (path.name != META, path.name == LOCK)):
            if path.name != REFUSED_FILE:
                path.unlink()
        folder.rmdir()
        folder.parent.rmdir()


def bytes_under(root: Path, but: Path | None = None) -> int:
    """Bytes of all segments under the spool's root, those in the folder `but` left out."""
    total = 0
    for directory, _, names in os.walk(root):
        if but is not None and Path(directory) == but:
            continue
        for name in names:
            with contextlib.suppress(OSError):
                total += (Path(directory) / name).stat().st_size
    return total
