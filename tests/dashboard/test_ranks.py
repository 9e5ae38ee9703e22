"""Several processes feed one run: it has ended when none of them goes on, and not before. Some vanish without a word."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from dashboard.keeper import Keeper
from dashboard.lifecycle import GONE_AFTER_SECONDS, SILENT_AFTER_SECONDS
from dashboard.processes import hostname
from dashboard.records import Run, State, WriterRecord
from dashboard.store import Store
from dashboard.writers import LOST_AFTER_SECONDS, end_told
from diagnostics.engine import Engine
from runwell.folder import try_lock
from runwell.frames import encode_event_frame, encode_header
from runwell.wire import Batch, dumps
from tests.serving import serving

ELSEWHERE = {"host": "another-machine", "pid": 1}
END = {"type": "state", "state": "finished"}


@pytest.fixture
def look(store: Store, tmp_path: Path, clock: Any) -> Callable[..., Run]:
    """Time passes, somebody looks at the run, and it is so."""
    keeper = Keeper(store, tmp_path, store.append, lambda _: None, clock, clock, clock())

    def look(seconds: float = 0.0) -> Run:
        clock.pass_(seconds)
        return keeper.look(store.run("mine"), None)[0]

    return look


@pytest.fixture
def send(store: Store, clock: Any) -> Callable[..., None]:
    """A process sends events, or beats."""
    sent: dict[str, int] = {}

    def send(writer: str, *events: dict[str, Any]) -> None:
        first = sent.get(writer, 0) + 1
        sent[writer] = first + len(events) - 1
        store.append("mine", Batch(writer, first, tuple({"time": clock(), **event} for event in events)))

    return send


def test_a_rank_elsewhere_that_never_said_goodbye_keeps_no_finished_run_open_and_may_come_back(
    look: Any, send: Any, clock: Any
) -> None:
    send("a", {"type": "run", **ELSEWHERE})
    send("b", {"type": "run", **ELSEWHERE})
    send("a", END)
    assert look(LOST_AFTER_SECONDS - 1).state is State.RUNNING
    run = look(1)
    assert (run.state, run.state_reason) == (
        State.FINISHED, "1 of its 2 processes never said that it had ended",
    )  # fmt: skip
    clock.pass_(10)
    send("b")
    assert look().state is State.RUNNING, "it was only late"
    assert look(LOST_AFTER_SECONDS).state is State.LOST, "it went on by itself for long, and nobody knows how far"


def test_a_rank_that_went_on_by_itself_and_died_is_a_crash(look: Any, send: Any, clock: Any) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    for name in "ab":
        send(name, {"type": "run", "host": hostname(), "pid": dead.pid})
    send("a", END)
    for seconds in (LOST_AFTER_SECONDS, 1):
        clock.pass_(seconds)
        send("b")
    run = look(GONE_AFTER_SECONDS)
    assert run.state is State.CRASHED and "its process is gone" in run.state_reason


def test_a_process_that_said_its_end_and_lives_on_is_no_sign_of_life_of_the_others(
    look: Any, send: Any, clock: Any, tmp_path: Path
) -> None:
    send("b", {"type": "run", "host": hostname(), "pid": 1})
    folder = tmp_path / "spool" / "mine" / "b"
    folder.mkdir(parents=True)
    (folder / "writer.json").write_text("{}")
    lock = try_lock(folder / "lock")
    assert lock is not None
    send("a", {"type": "run", "host": hostname(), "pid": os.getpid()}, {**END, "state": "stopped"})
    assert look(LOST_AFTER_SECONDS).state is State.RUNNING
    run = look(SILENT_AFTER_SECONDS)
    assert run.state is State.LOST and "its process lives" in run.state_reason, "it hangs, and may come back"
    os.close(lock)
    assert look(1).state is State.STOPPED


def test_all_that_dead_ranks_left_is_read_before_their_run_is_called_ended(
    look: Any, send: Any, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    send("a", {"type": "run", **ELSEWHERE})
    send("b", {"type": "run", **ELSEWHERE})
    send("a", END)
    left = Batch("b", 2, ({"type": "state", "state": "crashed", "reason": "no space left on device"},))
    monkeypatch.setattr("dashboard.keeper.store_spool", lambda *_: store.append("mine", left))
    run = look(LOST_AFTER_SECONDS)
    assert (run.state, run.state_reason) == (State.CRASHED, "no space left on device")


def test_a_rank_of_which_only_its_spool_is_left_does_not_make_a_crash_of_another_history(
    look: Any, send: Any, tmp_path: Path
) -> None:
    send("a", {"type": "run", **ELSEWHERE})
    send("vanished", {"type": "run", **ELSEWHERE})
    send("a", {**END, "state": "crashed", "reason": "CUDA out of memory"})
    records = ({"type": "run", **ELSEWHERE}, END)
    left = encode_header("mine", "b", 1) + b"".join(encode_event_frame(dumps(event).encode()) for event in records)
    (tmp_path / "spool/mine/b").mkdir(parents=True)
    (tmp_path / "spool/mine/b/1.seg").write_bytes(left)
    run = look(LOST_AFTER_SECONDS)
    assert run.state is State.CRASHED and "CUDA out of memory" in run.state_reason


@pytest.mark.parametrize(
    ("ends", "heard_at", "told"),
    [
        ([], [0.0], None),
        ([("finished", 5.0)], [], "finished"),
        ([("finished", 5.0)], [5.0 + LOST_AFTER_SECONDS], "finished"),
        ([("finished", 5.0)], [6.0 + LOST_AFTER_SECONDS], None),
        ([("finished", 5.0), ("crashed", 50.0)], [60.0 + LOST_AFTER_SECONDS], None),
        ([("finished", 5.0), ("stopped", 70.0)], [60.0 + LOST_AFTER_SECONDS], "stopped"),
        ([("crashed", 5.0), ("crashed", 6.0), ("finished", 7.0)], [None], "crashed"),
    ],
)
def test_the_last_contact_of_who_vanished_decides(
    ends: list[tuple[str, float]], heard_at: list[float | None], told: str | None
) -> None:
    def record(name: str, **fields: Any) -> WriterRecord:
        return WriterRecord(name=name, stored_through=1, duplicates=0, refused=0, **fields)

    writers = [
        record(f"said-{at}", last_contact_at=at, ended_at=at, said={"state": state, "reason": f"at {at}"})
        for state, at in ends
    ]
    writers += [record(f"silent-{at}", last_contact_at=at) for at in heard_at]
    writers += [record("launcher", last_contact_at=1e9), record("child", last_contact_at=1e9, forked=True)]
    found = end_told(writers)
    assert (found and found["state"]) == told
    if found is not None:
        assert ("never said" in found["reason"]) is bool(heard_at)
        if len(ends) == 3:
            assert found["reason"].startswith("at 5.0; "), "the first crash is the cause of what followed"


# -- real processes ------------------------------------------------------------------------------------------------

RANK = """
import sys, runwell
run = runwell.init("mine")
for step, line in enumerate(sys.stdin):
    if "crash" in line:
        raise RuntimeError("a bad batch")
    run.log({"loss": 1.0}, step=step)
    print(step, flush=True)
"""


class Rank:
    """A process of a run; it logs a step for every line that it is sent, and finishes after the last."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", RANK], env=environment, text=True, bufsize=1,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def step(self) -> None:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write("step\n")
        assert self.process.stdout.readline()

    def end(self, last_word: str = "") -> None:
        self.process.communicate(last_word, timeout=60)


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Callable[[str], Rank]]:
    """Starts ranks of a run beside a whole server on a free port."""
    home = tmp_path / "home"
    with serving(home) as port:
        url = f"http://127.0.0.1:{port}"
        ranks: list[Rank] = []

        def begin(run_id: str) -> Rank:
            settings = {"RUNWELL_HOME": str(home), "RUNWELL_URL": url, "RUNWELL_RUN_ID": run_id}
            ranks.append(Rank({**os.environ, **settings}))
            ranks[-1].step()
            return ranks[-1]

        yield begin
        for rank in ranks:
            rank.process.kill()
            rank.process.communicate()


@pytest.mark.slow
def test_ranks_that_are_killed_and_that_crash_while_another_trains_on(
    begin: Callable[[str], Rank], tmp_path: Path, eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("lifecycle", "keeper"):
        monkeypatch.setattr(f"dashboard.{module}.GONE_AFTER_SECONDS", 1.0)  # of one whose process is known to be gone
    ranks = {run_id: (begin(run_id), begin(run_id)) for run_id in ("killed", "crashed")}
    ranks["killed"][1].process.send_signal(signal.SIGKILL)
    ranks["killed"][1].process.wait()
    ranks["crashed"][1].end("crash\n")
    with closing(Store.open(tmp_path / "home" / "runwell.db")) as store:
        eventually(lambda: store.run("crashed").state_reason)
        for first, _ in ranks.values():
            first.step()
        for run_id in ranks:
            eventually(lambda run_id=run_id: store.run(run_id).last_step == 1)
            assert store.run(run_id).state is State.RUNNING
        assert "one of its 2 processes crashed (RuntimeError: a bad batch)" in store.run("crashed").state_reason
        for first, _ in ranks.values():
            first.end()
        run = eventually(lambda: (run := store.run("crashed")).state.ended and run)
        assert (run.state, run.state_reason) == (State.CRASHED, "RuntimeError: a bad batch")
        run = eventually(lambda: (run := store.run("killed")).state.ended and run)
        assert run.state is State.FINISHED and "1 of its 2 processes never said" in run.state_reason
        engine = Engine()
        engine.observe_all(event for _, event in store.replay("crashed"))
        assert [finding.rule for finding in engine.findings() if finding.status == "open"] == ["crashed-run"]
