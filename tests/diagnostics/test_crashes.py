"""The cause of death is read from what a dead run left; runs that ended otherwise, or go on, are left alone."""

from __future__ import annotations

import math
from typing import Any

import pytest

from diagnostics import Engine
from diagnostics.deaths import DEATHS, KEPT_LINES, find_death, last_words, read_ending

POINTS = [{"type": "metrics", "step": step, "loss": 3 - step / 100} for step in range(30)]


def crash(reason: str = "", **fields: Any) -> dict[str, Any]:
    return {"type": "state", "state": "crashed", "reason": reason, **fields}


@pytest.mark.parametrize(
    ("event", "name"),
    [
        (crash("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB"), "out of GPU memory"),
        (crash(exit_code=1, last_lines=["Traceback", "RuntimeError: CUDA error: device-side assert"]), "CUDA error"),
        (crash("OSError: [Errno 28] No space left on device"), "disk full"),
        (crash("RuntimeError: [enforce fail] can't allocate memory: you tried"), "out of memory"),
        (crash("killed by SIGKILL", exit_code=-9), "killed from outside"),
        (crash(exit_code=137), "killed from outside"),
        (crash(exit_code=-11), "crashed in native code"),
        (crash(exit_code=-15), "ended by the system"),
        (crash("ValueError: loss is nan at step 12"), "stopped by a number that is none"),
        (crash("FileNotFoundError: [Errno 2] No such file or directory: 'x'"), "missing file"),
        (crash("ModuleNotFoundError: No module named 'flash_attn'"), "missing module"),
        (crash("RuntimeError: NCCL communicator was aborted"), "lost connection between workers"),
        (crash("IndexError: index out of range in self"), "shapes or ids that do not fit"),
    ],
)
def test_the_cause_of_death_is_named(assert_finds: Any, event: dict[str, Any], name: str) -> None:
    finding = assert_finds([*POINTS, event], "crashed-run")
    assert finding.title == f"Crashed at step 29: {name}"
    assert (finding.severity, finding.causes[0].cause, finding.because) == ("critical", name, None)


def test_one_process_of_several_that_crashed_is_a_warning_until_the_others_go_on(findings: Any) -> None:
    left = {**crash("CUDA out of memory"), "type": "left"}
    for more, told in (
        ([], ("warning", "open", "A process crashed at step 29: out of GPU memory")),
        ([{**POINTS[-1], "step": 30}], ("info", "resolved", "A process crashed at step 29: out of GPU memory; over")),
        ([crash("CUDA out of memory")], ("critical", "open", "Crashed at step 29: out of GPU memory")),
    ):
        (finding,) = [one for one in findings([*POINTS, left, *more]) if one.rule == "crashed-run"]
        assert (finding.severity, finding.status) == told[:2] and finding.title.startswith(told[2])
    assert not [one for one in findings([*POINTS, {**left, "state": "finished"}]) if one.rule == "crashed-run"]


def test_every_death_has_an_answer() -> None:
    assert len({death.name for death in DEATHS}) == len(DEATHS)
    assert all(death.why and death.remedy.endswith(".") for death in DEATHS)


@pytest.mark.parametrize(
    "event", [crash(), crash("ZeroDivisionError: division by zero", exit_code=1), crash(exit_code="x", last_lines="no")]
)
def test_an_unknown_cause_says_so(assert_finds: Any, event: dict[str, Any]) -> None:
    finding = assert_finds([*POINTS, event], "crashed-run")
    assert finding.causes[-1].cause == "unknown"
    assert finding.confidence == 0.7


def test_a_loss_that_is_no_number_is_among_the_causes(findings: Any) -> None:
    events = [*POINTS, {"type": "metrics", "step": 30, "loss": math.nan}, crash("AssertionError", exit_code=1)]
    found = {finding.rule: finding for finding in findings(events)}
    assert "a number that is none" in [cause.cause for cause in found["crashed-run"].causes]
    assert next(iter(found)) == "non-finite-loss", "the root comes first"


def test_output_read_after_the_news_of_death_still_counts(findings: Any) -> None:
    lines = [{"type": "log", "text": text} for text in ("Traceback", "torch.OutOfMemoryError: CUDA out of memory.")]
    (found,) = findings([*POINTS, crash("ended with exit status 1", exit_code=1), *lines])
    assert found.causes[0].cause == "out of GPU memory"
    (before,) = findings([*POINTS, *lines, crash("ended with exit status 1", exit_code=1)])
    assert before.causes == found.causes


@pytest.mark.parametrize(
    "events",
    [
        [], [{"type": "state", "state": "finished"}], [{"type": "state", "state": "stopped", "reason": "killed by SIGTERM"}],
        [{"type": "state", "state": "running"}], [{"type": "state"}],
        [{"type": "log", "text": "CUDA out of memory"}, {"type": "log", "text": None}, {"type": "log"}],
        [{"type": "log", "text": "RuntimeError: x"}, {"type": "state", "state": "finished", "exit_code": 0}],
    ],
)  # fmt: skip
def test_runs_that_did_not_crash_are_left_alone(assert_silent: Any, events: list[dict[str, Any]]) -> None:
    assert_silent([*POINTS, *events], "crashed-run")


def test_a_run_that_goes_on_closes_the_finding(findings: Any) -> None:
    on = [{"type": "metrics", "step": step, "loss": 2.6} for step in range(30, 34)]
    (found,) = findings([*POINTS, crash(exit_code=-9), *on])
    assert (found.status, found.severity) == ("resolved", "info")


def test_a_crash_before_the_first_point_is_one(assert_finds: Any) -> None:
    assert assert_finds([crash("ModuleNotFoundError: No module named 'x'")], "crashed-run").first_step == 0


def test_hostile_last_words_are_bounded_and_shown_plain() -> None:
    end = read_ending(crash("\x1b[31m" * 9000, last_lines=["y" * 10**6] * 500, exit_code=math.nan), ())
    assert len(end.reason) == 2000 and len(end.lines) == KEPT_LINES and max(map(len, end.lines)) <= 400
    assert end.exit_code is None and find_death(end) is None
    engine = Engine()
    engine.observe(crash("\x1b[31mred"))
    assert engine.findings()[0].evidence[0].sentence.isprintable()


def test_the_line_of_the_exception_is_quoted() -> None:
    end = read_ending(crash("ended with exit status 1", last_lines=["a", "x.MyError: why", "cleaning up"]), ())
    assert last_words(end) == "x.MyError: why"
    assert last_words(read_ending(crash(), ("one", "two"))) == "two"
    assert last_words(read_ending(crash(), ())) == ""


def test_a_run_that_ended_well_was_looked_at_and_one_that_goes_on_is_waited_for() -> None:
    engine = Engine()
    engine.observe({"type": "metrics", "step": 1, "train/loss": 3.0})
    assert engine.coverage().skipped["crashed-run"].startswith("no end is logged yet: ")
    engine.observe({"type": "state", "state": "finished"})
    assert "crashed-run" in engine.coverage().ran
    engine.observe({"type": "metrics", "step": 2, "train/loss": 2.9})
    assert "crashed-run" in engine.coverage().skipped, "it goes on after all"
