"""Checkpoints on disk: whole or not there, the last five and the best kept, no pickle anywhere.

A checkpoint is a folder `step-000000500/` with `weights.safetensors`, `optimizer.safetensors`, `tokenizer.json` and
`state.json` (step, settings, hashes of the others). What the tensors mean is `trainer.session`'s business.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from trainer.errors import CheckpointError

KEPT = 5
_FOLDER = re.compile(r"(\.replaced-)?step-(\d{9,15})")
_STATE = "state.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """What one checkpoint holds, in memory."""

    step: int
    weights: Mapping[str, Tensor]
    optimizer: Mapping[str, Tensor]
    tokenizer: Mapping[str, Any]
    state: Mapping[str, Any]
    """JSON values: settings, best validation loss, patience, live settings."""


class CheckpointFolder:
    """The checkpoints of one run, in `folder` (made when the first is saved)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, checkpoint: Checkpoint, *, best: bool = False) -> Path:
        """Write one, atomically, mark it as the best if it is, and remove those that are neither recent nor best.

        A full disk raises `CheckpointError`; what was there before is still whole.
        """
        final = self.folder / f"step-{checkpoint.step:09d}"
        partial = self.folder / f".saving-{os.getpid()}"
        try:
            self._mend()
            self._write(partial, checkpoint)
            self._put(partial, final)
            if best:
                _write_file(self.folder / "best.json", json.dumps({"step": checkpoint.step}).encode())
            self._rotate()
        except (OSError, SafetensorError) as error:
            shutil.rmtree(partial, ignore_errors=True)
            raise CheckpointError(f"the checkpoint of step {checkpoint.step} could not be written: {error}") from None
        return final

    def steps(self) -> list[int]:
        """Steps that have a checkpoint, in the order in which they were saved (a resume can go back)."""
        found = {int(match[2]) for path in self.folder.glob("*step-*") if (match := _FOLDER.fullmatch(path.name))}
        return sorted(found, key=lambda step: (_serial(self._path(step)), step))

    def best(self) -> int | None:
        """Step of the best checkpoint, when it is known and still there."""
        try:
            step = int(json.loads((self.folder / "best.json").read_text("utf-8"))["step"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return step if self._path(step).is_dir() else None

    def load(self, which: str) -> Checkpoint:
        """Read `last`, `best` or the one of a step. Raises `CheckpointError`, naming those that can be used instead."""
        step = self._find(which)
        path = self._path(step)
        try:
            state = json.loads((path / _STATE).read_text("utf-8"))
            blobs = {name: _verified(path / name, digest) for name, digest in state["sha256"].items()}
            return Checkpoint(
                step=step,
                weights=safetensors.torch.load(blobs["weights.safetensors"]),
                optimizer=safetensors.torch.load(blobs["optimizer.safetensors"]),
                tokenizer=json.loads(blobs["tokenizer.json"]),
                state=state["state"],
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
            why = f"{type(error).__name__}: {error}" if not isinstance(error, _Broken) else str(error)
            raise CheckpointError(f"the checkpoint of step {step} is broken ({why}); {self._instead(step)}") from None

    def _find(self, which: str) -> int:
        steps = self.steps()
        best = self.best()
        wanted = {"last": steps[-1] if steps else None, "best": best}.get(
            which, int(which) if which.isdigit() else None
        )
        if wanted is None or wanted not in steps:
            raise CheckpointError(f"there is no checkpoint {which!r} in {self.folder}; {self._instead(None)}")
        return wanted

    def _instead(self, broken: int | None) -> str:
        best = self.best()
        others = [f"{step} (best)" if step == best else str(step) for step in sorted(self.steps()) if step != broken]
        return f"those of these steps can be used: {', '.join(others)}" if others else "the run has no other checkpoint"

    def _path(self, step: int) -> Path:
        final = self.folder / f"step-{step:09d}"
        aside = _aside(final)
        # Someone else's folder is only read: what a kill left in the wrong place is read where it lies.
        return aside if not final.exists() and aside.exists() else final

    def _write(self, partial: Path, checkpoint: Checkpoint) -> None:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        blobs = {
            "weights.safetensors": safetensors.torch.save(dict(checkpoint.weights)),
            "optimizer.safetensors": safetensors.torch.save(dict(checkpoint.optimizer)),
            "tokenizer.json": json.dumps(checkpoint.tokenizer).encode(),
        }
        for name, blob in blobs.items():
            _write_file(partial / name, blob)
        digests = {name: hashlib.sha256(blob).hexdigest() for name, blob in blobs.items()}
        serial = max((_serial(path) for path in self.folder.glob("step-*")), default=0) + 1
        state = {"serial": serial, "step": checkpoint.step, "sha256": digests, "state": checkpoint.state}
        _write_file(partial / _STATE, json.dumps(state, indent=1).encode())

    def _put(self, partial: Path, final: Path) -> None:
        # A folder cannot be renamed over a full one. The old one steps aside first; `_mend` puts it back after a kill between.
        aside = _aside(final)
        if final.exists():
            final.rename(aside)
        partial.rename(final)
        _sync_folder(self.folder)
        shutil.rmtree(aside, ignore_errors=True)

    def _rotate(self) -> None:
        keep = {*self.steps()[-KEPT:], self.best()}
        for step in self.steps():
            if step not in keep:
                shutil.rmtree(self._path(step), ignore_errors=True)

    def _mend(self) -> None:
        """Tidy what a killed process left: a replaced checkpoint goes back to its place, half-written ones go."""
        for partial in self.folder.glob(".saving-*"):
            shutil.rmtree(partial, ignore_errors=True)
        for aside in self.folder.glob(".replaced-step-*"):
            final = self.folder / aside.name.removeprefix(".replaced-")
            if final.exists():
                shutil.rmtree(aside, ignore_errors=True)
            else:
                aside.rename(final)


class _Broken(ValueError):
    """A file of a checkpoint is not what was written."""


def parse_reference(reference: str) -> tuple[str, str]:
    """`RUN_ID[:last|best|STEP]` as (run id, which); `last` when not said. The config has checked the form."""
    run_id, _, which = reference.partition(":")
    return run_id, which or "last"


def _aside(final: Path) -> Path:
    return final.with_name(f".replaced-{final.name}")


def _serial(path: Path) -> int:
    """When a checkpoint was saved, as a count; 0 when its state cannot be read (it is then the first to go)."""
    try:
        return int(json.loads((path / _STATE).read_text("utf-8"))["serial"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def _verified(path: Path, digest: str) -> bytes:
    blob = path.read_bytes()
    if hashlib.sha256(blob).hexdigest() != digest:
        raise _Broken(f"{path.name} is not what was written, {len(blob):,} bytes")
    return blob


def _write_file(path: Path, blob: bytes) -> None:
    """Write, flush to disk, then rename: the name never leads to half a file."""
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("wb") as file:
        file.write(blob)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
