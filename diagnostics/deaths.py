"""The end of a run as its log tells it, and the causes of death that can be read from that. Pure; knows no rule.

What a process says with its last words is text of others: it is searched and quoted, never trusted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

KEPT_LINES = 20
MAX_LINE = 400


@dataclass(frozen=True, kw_only=True, slots=True)
class Ending:
    """How a run ended: what was said of it, the exit status (negative: the signal) and the last lines of output."""

    reason: str
    exit_code: int | None
    lines: tuple[str, ...]
    one_of_several: bool = False
    """Whether it is the end of one process of the run, and others went on at that moment."""


class Death(NamedTuple):
    """A cause of death: what to call it, how to know it, and what to do."""

    name: str
    words: str
    """A pattern for reason and last lines, or nothing where the exit status alone tells it."""
    why: str
    remedy: str
    patch: Mapping[str, float | str] | None = None
    signals: tuple[int, ...] = ()


DEATHS: tuple[Death, ...] = (
    Death("out of GPU memory", r"(cuda|hip|gpu|mps|xpu).{0,30}out of memory|outofmemoryerror|cublas_status_alloc_failed",
          "batch, context or model need more than the GPU has", "Halve the batch and double the accumulation steps.",
          {"batch_size": "×0.5", "accumulation_steps": "×2"}),
    Death("disk full", r"no space left on device|errno 28\b|disk quota exceeded",
          "a checkpoint or a log could not be written", "Make room on the disk, keep fewer checkpoints, and resume."),
    Death("out of memory", r"\bmemoryerror\b|(can't|cannot|unable to) allocate memory|out of memory|oom[- ]kill|bad_alloc",
          "the machine's memory was used up", "Load less data at once, use fewer loader processes, or a smaller batch.",
          {"batch_size": "×0.5"}),
    Death("CUDA error", r"cuda error|device-side assert|illegal memory access|cudnn_status|cublas_status|\bxid\b",
          "a kernel failed on the GPU: often a token id beyond the vocabulary, seldom the hardware",
          "Run once on the CPU or with CUDA_LAUNCH_BLOCKING=1: the true line is then in the traceback."),
    Death("lost connection between workers", r"\bnccl|process group|connection reset by peer|watchdog.{0,40}timeout",
          "one worker was gone or late, and the others gave up", "Look at the log of the worker that ended first."),
    Death("stopped by a number that is none", r"\b(loss|gradient|grad|value)s?\b.{0,40}\b(nan|inf|non-?finite)\b"
          r"|\bnan\b.{0,30}\b(loss|detected|found|encountered)|floatingpointerror",
          "a check of the training script ended it", "Lower the learning rate and clip gradients; see `non-finite-loss`.",
          {"learning_rate": "×0.1", "grad_clip": 1.0}),
    Death("missing file", r"filenotfounderror|no such file or directory|permissionerror|permission denied",
          "a path does not exist or must not be read", "Check the path that the last line names."),
    Death("missing module", r"modulenotfounderror|importerror", "the environment lacks a package", "Install it and start again."),
    Death("shapes or ids that do not fit", r"size mismatch|shapes? .{0,40}cannot be|index(error)?:? .{0,20}out of (range|bounds)"
          r"|must match the size|index out of range",
          "model and data do not agree", "Compare the vocabulary and the context length of model and data."),
    Death("killed from outside", r"killed by sigkill|\bsigkill\b", "SIGKILL: the system's memory killer, a time limit, or a person",
          "Look at the system's log (`dmesg`) for the memory killer; resume from the last checkpoint.", None, (9,)),
    Death("crashed in native code", r"segmentation fault|\bsigsegv\b|\bsigabrt\b|core dumped|\bsigbus\b",
          "a library failed below Python", "Run once with PYTHONFAULTHANDLER=1: the line is then in the log.", None, (11, 6, 7)),
    Death("ended by the system", r"\bsigterm\b|\bsigint\b|\bsighup\b|preempt", "the process was asked to end: a scheduler, a shutdown",
          "Resume from the last checkpoint.", None, (15, 2, 1)),
)  # fmt: skip
"""In the order in which they are looked for: what was said counts more than the signal."""


def read_ending(event: Mapping[str, Any], lines: tuple[str, ...]) -> Ending:
    """The end that a `state` event reports; `lines` are the last of the output, used where the event brings none."""
    said = event.get("last_lines")
    own = tuple(str(line)[:MAX_LINE] for line in said[-KEPT_LINES:]) if isinstance(said, list) else ()
    code = event.get("exit_code")
    exact = isinstance(code, (int, float)) and not isinstance(code, bool) and code == code and abs(code) < 2**31
    return Ending(
        reason=str(event.get("reason") or "")[:2000],
        exit_code=int(code) if exact and code is not None else None,
        lines=own or lines,
        one_of_several=event.get("type") == "left",
    )


def find_death(end: Ending) -> Death | None:
    """The cause of death, by the reason, then by the lines from the last one up, then by the signal; None when unknown."""
    for text in (end.reason, *reversed(end.lines)):
        for death in DEATHS:
            if re.search(death.words, text.lower()):
                return death
    number = signal_of(end.exit_code)
    return next((death for death in DEATHS if number in death.signals), None)


def signal_of(exit_code: int | None) -> int | None:
    """The signal in an exit status: -9 as Python gives it, 137 as a shell does."""
    if exit_code is None:
        return None
    if exit_code < 0:
        return -exit_code
    return exit_code - 128 if 128 < exit_code < 160 else None


def last_words(end: Ending) -> str:
    """The line that says what went wrong: that of an exception, else the reason, else the last line."""
    lines = [line.strip() for line in end.lines if line.strip()]
    told = [line for line in reversed(lines) if re.match(r"[\w.]+(Error|Exception|Interrupt)\b", line)]
    return next((line for line in (*told, end.reason, *reversed(lines)) if line), "")
