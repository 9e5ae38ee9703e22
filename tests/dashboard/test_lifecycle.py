"""States are decided from facts: never running for ever, never crashed while training goes on."""

from __future__ import annotations

import dataclasses
from itertools import product

import pytest

from dashboard.lifecycle import (
    GONE_AFTER_SECONDS,
    SILENT_AFTER_SECONDS,
    STOP_GRACE_SECONDS,
    Facts,
    Presence,
    complaint,
    decide,
    kill_due,
    waiting_reason,
)
from dashboard.processes import Exit
from dashboard.records import State
from dashboard.writers import LOST_AFTER_SECONDS

RUNNING = Facts(state=State.RUNNING, launched=True, presence=Presence.ALIVE, silent_seconds=0.0)
FOREIGN = dataclasses.replace(RUNNING, launched=False)
LONG = 10 * LOST_AFTER_SECONDS


def ended(returncode: int, **changes: object) -> Facts:
    return dataclasses.replace(RUNNING, presence=Presence.GONE, exit=Exit(returncode, 0.0), **changes)  # type: ignore[arg-type]


def test_a_living_process_is_never_called_dead_however_silent_it_is() -> None:
    for launched, state in product((True, False), (State.STARTING, State.RUNNING)):
        facts = Facts(state=state, launched=launched, presence=Presence.ALIVE, silent_seconds=1e9)
        decision = decide(facts)
        assert decision is None or decision.state is State.LOST


def test_a_living_process_without_a_heartbeat_is_lost_not_running_for_ever_and_back_when_heard() -> None:
    for facts in (RUNNING, FOREIGN):
        assert decide(dataclasses.replace(facts, silent_seconds=SILENT_AFTER_SECONDS - 0.1)) is None
        lost = decide(dataclasses.replace(facts, silent_seconds=SILENT_AFTER_SECONDS))
        assert lost is not None and lost.state is State.LOST and "its process lives" in lost.reason
        quiet = dataclasses.replace(facts, state=State.LOST, silent_seconds=LONG)
        assert decide(quiet) is None
        back = decide(dataclasses.replace(quiet, heard_since_decision=True))
        assert back is not None and back.state is State.RUNNING
    starting = dataclasses.replace(RUNNING, state=State.STARTING, silent_seconds=LONG)
    assert decide(starting) is None, "it has not begun to speak: it loads its libraries"


@pytest.mark.parametrize("state", [state for state in State if state.ended] + [State.QUEUED])
def test_what_has_ended_or_not_begun_is_left_alone(state: State) -> None:
    for presence in Presence:
        facts = Facts(state=state, launched=True, presence=presence, silent_seconds=1e9, exit=Exit(-9, 0.0))
        assert decide(facts) is None


def test_nothing_stays_running_for_ever() -> None:
    for launched, presence, state in product(
        (True, False), (Presence.GONE, Presence.UNKNOWN), (State.STARTING, State.RUNNING)
    ):
        decision = decide(Facts(state=state, launched=launched, presence=presence, silent_seconds=LONG))
        assert decision is not None and decision.state in (State.CRASHED, State.LOST)
        assert decision.reason


def test_a_kill_names_the_signal_and_its_usual_cause() -> None:
    decision = decide(ended(-9, last_words=("step 10/100 | loss 3.1",)))
    assert decision is not None and decision.state is State.CRASHED and decision.exit_code == -9
    assert decision.reason.startswith("killed by SIGKILL (often the system's out-of-memory killer")
    assert "step 10" not in decision.reason, "an ordinary last line is no cause"


def test_an_exit_status_is_explained_by_the_exception_in_the_output() -> None:
    words = ("Traceback (most recent call last):", "torch.OutOfMemoryError: CUDA out of memory", "cleaning up")
    decision = decide(ended(1, last_words=words))
    assert decision is not None and decision.state is State.CRASHED
    assert decision.reason == "exit status 1: torch.OutOfMemoryError: CUDA out of memory"


def test_an_end_without_a_word_is_not_a_success() -> None:
    decision = decide(ended(0))
    assert decision is not None and decision.state is State.CRASHED and decision.exit_code == 0


def test_nothing_is_decided_before_everything_left_behind_was_read() -> None:
    assert decide(ended(0, unread=True)) is None


@pytest.mark.parametrize("returncode", [-15, 0])
def test_an_end_after_a_request_to_stop_is_stopped(returncode: int) -> None:
    decision = decide(ended(returncode, stop_asked_seconds=2.0))
    assert decision is not None and decision.state is State.STOPPED and "on request" in decision.reason


def test_a_kill_while_stopping_is_ours_or_a_crash() -> None:
    ours = decide(ended(-9, stop_asked_seconds=61.0, killed_by_us=True))
    assert ours is not None and ours.state is State.STOPPED and "did not end in time" in ours.reason
    others = decide(ended(-9, stop_asked_seconds=2.0))
    assert others is not None and others.state is State.CRASHED and "SIGKILL" in others.reason


def test_an_unrecorded_end_says_what_is_known() -> None:
    gone = dataclasses.replace(RUNNING, presence=Presence.GONE)
    crashed = decide(dataclasses.replace(gone, last_words=("step 7",)))
    assert crashed is not None and crashed.state is State.CRASHED and crashed.reason.endswith("its last line: step 7")
    stopped = decide(dataclasses.replace(gone, stop_asked_seconds=5.0))
    assert stopped is not None and stopped.state is State.STOPPED


def test_a_crash_while_stopping_is_still_a_crash() -> None:
    decision = decide(ended(1, stop_asked_seconds=2.0, last_words=("OSError: no space left on device",)))
    assert decision is not None and decision.state is State.CRASHED and "no space" in decision.reason


def test_a_foreign_process_that_is_gone_is_crashed_only_after_silence() -> None:
    gone = dataclasses.replace(FOREIGN, presence=Presence.GONE)
    assert decide(dataclasses.replace(gone, silent_seconds=GONE_AFTER_SECONDS - 0.1)) is None
    decision = decide(dataclasses.replace(gone, silent_seconds=GONE_AFTER_SECONDS))
    assert decision is not None and decision.state is State.CRASHED and "process is gone" in decision.reason


def test_a_run_elsewhere_is_lost_after_silence_and_running_again_when_heard() -> None:
    elsewhere = dataclasses.replace(FOREIGN, presence=Presence.UNKNOWN)
    assert decide(dataclasses.replace(elsewhere, silent_seconds=LOST_AFTER_SECONDS - 0.1)) is None
    lost = decide(dataclasses.replace(elsewhere, silent_seconds=LOST_AFTER_SECONDS))
    assert lost is not None and lost.state is State.LOST
    quiet = dataclasses.replace(elsewhere, state=State.LOST, silent_seconds=LONG)
    assert decide(quiet) is None
    back = decide(dataclasses.replace(quiet, silent_seconds=0.0, heard_since_decision=True))
    assert back is not None and back.state is State.RUNNING


def test_a_stop_is_enforced_only_after_the_grace_time() -> None:
    asked = dataclasses.replace(RUNNING, stop_asked_seconds=STOP_GRACE_SECONDS - 0.1)
    assert not kill_due(asked)
    assert kill_due(dataclasses.replace(asked, stop_asked_seconds=STOP_GRACE_SECONDS))
    assert not kill_due(dataclasses.replace(FOREIGN, stop_asked_seconds=1e9)), "we did not start it: we do not kill it"
    assert not kill_due(dataclasses.replace(RUNNING, stop_asked_seconds=None))
    assert not kill_due(ended(-9, stop_asked_seconds=1e9))


def test_a_worker_that_said_its_end_and_hangs_does_not_hold_its_place_for_ever() -> None:
    hanging = dataclasses.replace(RUNNING, state=State.CRASHED, ended_seconds=STOP_GRACE_SECONDS)
    assert kill_due(hanging) and decide(hanging) is None
    assert not kill_due(dataclasses.replace(hanging, ended_seconds=STOP_GRACE_SECONDS - 0.1))
    assert not kill_due(dataclasses.replace(hanging, launched=False))


def test_the_queue_is_told_in_words() -> None:
    assert [waiting_reason(n) for n in range(3)] == [
        "waiting: next to start",
        "waiting: 1 run before it",
        "waiting: 2 runs before it",
    ]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ((), ""),
        (("", "  "), ""),
        (("all fine", "then nothing"), "then nothing"),
        (("ValueError: bad", "during handling", "  KeyError: 'x'", "atexit note"), "KeyError: 'x'"),
        (("x" * 1000,), "x" * 300),
        (
            ("loading PyTorch", "crashed: resume = 'r:7': there is no checkpoint '7'"),
            "resume = 'r:7': there is no checkpoint '7'",
        ),
    ],
)
def test_the_complaint_is_the_exception_else_the_last_line(lines: tuple[str, ...], expected: str) -> None:
    assert complaint(lines) == expected
