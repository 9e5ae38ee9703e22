"""The faults, one function each: it makes its trouble, and says what was logged, what is stored, and what `log()` cost.

Every scenario takes a folder of its own and how long it may go on; everything else is counted, never guessed.
"""

from __future__ import annotations

import time
import urllib.error
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.soak.processes import Server, Writer, sync, wait_until


@dataclass
class Outcome:
    """What came of one scenario. Nothing may be lost and nothing doubled; `wrong` is everything else that must not be."""

    logged: int = 0
    stored: int = 0
    lost: int = 0
    doubled: int = 0
    p99_us: float = 0.0
    note: str = ""
    wrong: list[str] = field(default_factory=list)

    @property
    def fine(self) -> bool:
        """Whether everything was held."""
        return not (self.lost or self.doubled or self.wrong) and self.logged > 0

    def count(self, found: list[int], logged: int) -> None:
        """Hold what is stored of a run against the steps 0 to `logged` that were logged."""
        seen = Counter(found)
        self.logged += logged
        self.stored += len(found)
        self.lost += sum(step not in seen for step in range(logged))
        self.doubled += sum(times - 1 for times in seen.values())


Scenario = Callable[[Path, float], Outcome]


def killed_server(folder: Path, seconds: float) -> Outcome:
    """A server that is SIGKILLed 20 times (fewer in a short run) in a stream of 1,000 steps a second."""
    kills = max(2, min(20, round(seconds)))
    server = Server(folder).start()
    writer = Writer(folder, server.url, "--endless")
    for _ in range(kills):
        before = _last_step(server, writer.runs[0])
        wait_until(lambda before=before: _last_step(server, writer.runs[0]) > before + 100, "steps arrive")
        server.kill()
        server.start()
    return _end(server, [writer], f"{kills} kills")


def killed_sender(folder: Path, seconds: float) -> Outcome:
    """A training process that is SIGKILLed in the middle, again and again; `runwell sync` then sends what it left."""
    server, outcome = Server(folder).start(), Outcome()
    kills = max(2, min(20, round(seconds)))
    for _ in range(kills):
        writer = Writer(folder, server.url, "--endless", "--print")
        wait_until(lambda run=writer.runs[0]: _last_step(server, run) > 300, "steps arrive")
        logged = writer.kill() + 1
        sync(writer.home, server.url)
        found = server.steps(writer.runs[0])
        # one step more may have been written than was printed
        outcome.count(found, max(logged, len(found)) if len(found) <= logged + 1 else logged)
    server.stop()
    outcome.note = f"{kills} kills"
    return outcome


def full_disk(folder: Path, seconds: float) -> Outcome:
    """The server's disk is full for a while (its files may not grow: RLIMIT_FSIZE, which needs no mount and no root)."""
    server = Server(folder).start()
    writer = Writer(folder, server.url, "--steps", str(round(seconds * 1000)))
    wait_until(lambda: _last_step(server, writer.runs[0]) > 100, "steps arrive")
    server.limit_files(server.log_size())
    time.sleep(0.5)
    stuck, outcome = _last_step(server, writer.runs[0]), Outcome()
    time.sleep(seconds / 3)
    if _last_step(server, writer.runs[0]) != stuck:
        outcome.wrong.append("its disk was not full")
    if not server.answers():
        outcome.wrong.append("the server does not answer while its disk is full")
    server.limit_files(-1)
    return _end(server, [writer], f"full for {seconds / 3:.0f} s from step {stuck:,} on", outcome)


def unwritable_folder(folder: Path, seconds: float) -> Outcome:
    """The training machine's folder cannot be written: records go through memory (`/proc`, where not even root may)."""
    server = Server(folder).start()
    writer = Writer(folder, server.url, "--steps", str(round(seconds * 1000)), home=Path("/proc/runwell"))
    outcome, said = Outcome(), list[str]()
    result = _end(server, [writer], "sent from memory", outcome, said)
    if said[0].count("cannot be written") != 1:
        result.wrong.append("it was not said once that the folder cannot be written")
    return result


def corrupt_page(folder: Path, seconds: float) -> Outcome:
    """Pages in the middle of the database are overwritten: it is said in a sentence, and never answered as if it were well."""
    server, outcome = Server(folder).start(), Outcome()
    writer = Writer(folder, server.url, "--steps", str(round(seconds * 1000)), "--rate", "20000")
    run_id, result = writer.runs[0], writer.end()
    outcome.count(server.steps(run_id), result["steps"])
    server.stop()
    path = server.home / "runwell.db"
    data = bytearray(path.read_bytes())
    for page in range(4096 * 4, len(data) - 4096, 4096 * 3):
        data[page : page + 4096] = b"\xa5" * 4096
    path.write_bytes(data)
    said = _say_of_damage(server, run_id)
    if not said or any("Traceback" in one or one.startswith("500") for one in said):
        outcome.wrong.append(f"the damage is not said plainly: {said}")
    outcome.note = said[0][:160] if said else ""
    server.kill()
    return outcome


def clock_jumps(folder: Path, seconds: float) -> Outcome:
    """The training machine's clock is set a day ahead, a day back and right again, every half second."""
    server = Server(folder).start()
    return _end(server, [Writer(folder, server.url, "--steps", str(round(seconds * 1000)), "--jump")], "±1 day")


def slow_disk(folder: Path, seconds: float) -> Outcome:
    """Each commit of the server takes a quarter of a second longer."""
    server = Server(folder, commit_seconds=0.25).start()
    return _end(server, [Writer(folder, server.url, "--steps", str(round(seconds * 1000)))], "0.25 s a commit")


def many_runs(folder: Path, seconds: float) -> Outcome:
    """200 runs at once in four processes (fewer in a short run), 1,000 steps a second together."""
    runs = max(5, min(50, round(seconds * 2.5)))
    server = Server(folder).start()
    arguments = ("--runs", str(runs), "--rate", "250", "--steps", str(max(10, round(seconds * 250 / runs))))
    return _end(server, [Writer(folder, server.url, *arguments) for _ in range(4)], f"{4 * runs} runs at once")


def burst(folder: Path, seconds: float) -> Outcome:
    """1,000 steps a second, then ten times that."""
    server = Server(folder).start()
    steps = str(round(seconds * 2000))
    return _end(server, [Writer(folder, server.url, "--steps", steps, "--burst")], "from 1,000 to 10,000 a second")


SCENARIOS: tuple[Scenario, ...] = (
    killed_server, killed_sender, full_disk, unwritable_folder, corrupt_page, clock_jumps, slow_disk, many_runs, burst,
)  # fmt: skip


def _end(
    server: Server, writers: list[Writer], note: str, outcome: Outcome | None = None, said: list[str] | None = None
) -> Outcome:
    """Let the writers end, count what is stored of their runs, and see that each is known to be finished."""
    outcome = outcome or Outcome()
    for writer in writers:
        result = writer.end()
        if said is not None:
            said.append(result["said"])
        outcome.p99_us = max(outcome.p99_us, result["p99_us"])
        for run_id in writer.runs:
            outcome.count(server.steps(run_id), result["steps"])
            state = server.get(f"/runs/{run_id}")["state"]
            if state != "finished":
                outcome.wrong.append(f"run {run_id} is {state}")
            for receipt in server.get(f"/runs/{run_id}/delivery")["writers"]:
                if receipt["missing"] or receipt["dropped"] or receipt["behind"]:
                    outcome.wrong.append(f"receipt of run {run_id}: {receipt}")
    server.stop()
    outcome.note = note
    return outcome


def _last_step(server: Server, run_id: str) -> int:
    try:
        return server.get(f"/runs/{run_id}")["last_step"] or 0
    except OSError:
        return -1  # not known yet, or the server is away


def _say_of_damage(server: Server, run_id: str) -> list[str]:
    """Every sentence in which the damage is told: by a start that is refused, or by the answers."""
    try:
        server.start()
    except RuntimeError as refused:
        return [str(refused).strip().splitlines()[-1]]
    said = []
    for path in (f"/runs/{run_id}", "/runs", *(f"/runs/{run_id}/series?name={name}" for name in ("loss", "a"))):
        try:
            server.get(path)
        except urllib.error.HTTPError as error:
            body: Any = error.read().decode()
            said.append(f"{error.code} {body}")
    return said
