"""W&B offline: a process beside the training writes one `.wandb` file; `wandb sync` would send it. There is no page to ask.

The file is a LevelDB log: blocks of 32 KiB, in them fragments with 7 bytes before each (checksum, length, kind).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path

from benchmarks.peers.tool import NAMES, Log, StepLog, no_server

PACKAGES = ("wandb",)
serving = no_server
_BLOCK, _FILE_HEADER, _HEADER = 32 * 1024, 7, struct.Struct("<IHB")
_WHOLE, _LAST = 1, 4


def begin(folder: Path, url: str) -> Log:
    """A new run."""
    os.environ |= {"WANDB_MODE": "offline", "WANDB_SILENT": "true", "WANDB_ERROR_REPORTING": "false"}
    import wandb  # type: ignore[import-not-found]

    settings = wandb.Settings(x_disable_stats=True, console="off")
    return StepLog(wandb.init(project="bench", dir=str(folder), settings=settings))


def kept(folder: Path, url: str) -> set[int]:
    """Steps with all series in the records that are whole."""
    from wandb.proto.wandb_internal_pb2 import Record  # type: ignore[import-not-found]

    steps = set()
    for data in records(_file(folder).read_bytes()):
        record = Record.FromString(data)
        if record.WhichOneof("record_type") == "history":
            items = {item.key or "/".join(item.nested_key) for item in record.history.item}
            if items.issuperset(NAMES):
                steps.add(record.history.step.num)
    return steps


def records(data: bytes) -> Iterator[bytes]:
    """The records of a `.wandb` file, up to the first that is cut off."""
    at, parts = _FILE_HEADER, []
    while at + _HEADER.size <= len(data):
        if _BLOCK - at % _BLOCK < _HEADER.size:
            at += _BLOCK - at % _BLOCK
            continue
        _, length, kind = _HEADER.unpack_from(data, at)
        at += _HEADER.size
        if kind == 0 or at + length > len(data):
            return
        parts.append(data[at : at + length])
        at += length
        if kind in (_WHOLE, _LAST):
            yield b"".join(parts)
            parts = []


drawn = page = None  # charts are on its server alone
LINE = ""


def _file(folder: Path) -> Path:
    return next((folder / "wandb").glob("offline-run-*/*.wandb"))


def size(folder: Path) -> int:
    """The run's file."""
    return _file(folder).stat().st_size
