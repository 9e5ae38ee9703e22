"""`runwell watch`: a file that grows while it is followed. Waiting is a function of the test's own: nothing sleeps."""

from __future__ import annotations

import gzip
import io
import json
import math
import os
import signal
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runwell.cli import main
from runwell.commands.judging import UNREADABLE, BadArgument, Judging
from runwell.commands.watch import watch
from runwell.follow import follow_events
from runwell.tfevents import masked_crc


def judging() -> Judging:
    from diagnostics.options import RuleOptions

    return Judging(config={}, roles={}, options=RuleOptions())


def script(*actions: Callable[[], Any]) -> Callable[[], bool]:
    """A `wait` that does one thing each time, and says no when there is nothing left to do."""
    left = list(actions)

    def wait() -> bool:
        if not left:
            return False
        left.pop(0)()
        return True

    return wait


def append(path: Path, text: str) -> Callable[[], Any]:
    def act() -> None:
        with path.open("a") as file:
            file.write(text)

    return act


def rows(losses: list[Any], start: int = 0) -> str:
    return "".join(json.dumps({"step": start + n, "loss": loss}) + "\n" for n, loss in enumerate(losses))


FALLING = [4.0 - 0.01 * n for n in range(100)]


def steps(path: Path, wait: Callable[[], bool]) -> list[Any]:
    told: list[str] = []
    events = [(event.get("step"), event.get("loss")) for event in follow_events(path, wait, told.append)]
    assert told == []
    return events


# -- following -----------------------------------------------------------------------------------------------------


def test_half_a_line_is_left_until_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    parts = [rows([1.0]), '{"step": 1, "lo', 'ss": NaN}', "\n", rows([2.0, 3.0], 2), '{"step": 9, "lo']
    found = steps(path, script(*(append(path, part) for part in parts)))
    assert repr(found) == repr([(0, 1.0), (1, math.nan), (2, 2.0), (3, 3.0)])


def test_csv_and_a_last_line_without_its_end(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("\ufeffstep,loss\n0,1.5\n", encoding="utf-8")
    assert steps(path, script(append(path, "1,in"), append(path, "f\n2,"), append(path, "-inf"))) == [
        (0, 1.5), (1, math.inf), (2, -math.inf),
    ]  # fmt: skip


def test_a_document_is_read_anew_and_each_row_given_once(tmp_path: Path) -> None:
    path = tmp_path / "trainer_state.json"

    def state(count: int, cut: int | None = None) -> Callable[[], Any]:
        history = [{"step": n, "loss": float(n)} for n in range(count)]
        return lambda: path.write_text(json.dumps({"log_history": history}, indent=2)[:cut])

    assert steps(path, script(state(1), state(2, cut=60), state(3))) == [(0, 0.0), (1, 1.0), (2, 2.0)]


def test_event_files_and_the_next_one_in_their_folder(tmp_path: Path) -> None:
    def framed(record: bytes) -> bytes:
        length = struct.pack("<Q", len(record))
        return length + struct.pack("<I", masked_crc(length)) + record + struct.pack("<I", masked_crc(record))

    def scalar(step: int, value: float) -> bytes:
        inner = b"\x0a\x04loss\x15" + struct.pack("<f", value)
        summary = bytes([0x0A, len(inner)]) + inner
        return framed(b"\x09" + struct.pack("<d", 1e9) + bytes([0x10, step, 0x2A, len(summary)]) + summary)

    def write(name: str, data: bytes) -> Callable[[], Any]:
        def act() -> None:
            with (tmp_path / name).open("ab") as file:
                file.write(data)

        return act

    head = framed(b"\x09" + struct.pack("<d", 1e9) + b"\x1a\x0dbrain.Event:2")
    one, two = "events.out.tfevents.1.h", "events.out.tfevents.2.h"
    torn = scalar(2, math.nan)
    actions = [write(one, head + scalar(1, 1.5) + torn[:20]), write(one, torn[20:]), write(two, head + scalar(3, 2.5))]
    assert repr(steps(tmp_path, script(*actions))) == repr([(1, 1.5), (2, math.nan), (3, 2.5)])


# -- the command ---------------------------------------------------------------------------------------------------


def test_findings_are_told_as_they_open_change_and_resolve(tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(rows(FALLING))
    said: list[str] = []

    def note() -> None:
        said.append(capsys.readouterr().out)

    wait = script(
        note,
        append(path, rows([9.0] * 5, 100)),
        note,
        append(path, rows([3.0 - 0.001 * n for n in range(60)], 105)),
        note,
        append(path, rows([math.nan], 165)),
    )
    assert watch(str(path), judging(), "text", wait) == 2
    said.append(capsys.readouterr().out)
    assert said[0] == "", "a healthy start is not worth a word"
    assert "opened: " in said[1] and "[loss-spike, known at step 10" in said[1] and "      do      " in said[1]
    assert "resolved: " in said[2] and "[loss-spike" in said[2]
    assert "✖ critical  opened: " in said[3] and "[non-finite-loss, known at step 165]" in said[3]
    assert said[3].endswith(f"{path}: critical\n")


def test_what_is_explained_is_told_once_however_the_numbers_in_the_explanation_change(
    capsys: Any, tmp_path: Path
) -> None:
    path = tmp_path / "run.jsonl"
    losses = [3.0 + 3 / (1 + step / 20) for step in range(400)]
    climbs = [losses[-1] + min(5.0, step / 30) for step in range(200)]
    path.write_text(rows(losses) + rows(climbs, 400))
    assert watch(str(path), judging(), "text", lambda: False) == 2
    told = capsys.readouterr().out
    assert told.count("divergence explains it") == 1


def test_what_comes_back_was_known_the_first_time(capsys: Any, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    calm = [3.0 - 0.001 * step for step in range(60)]
    path.write_text(rows([*FALLING, *[9.0] * 5, *calm, *[9.0] * 5, *calm]))
    watch(str(path), judging(), "text", lambda: False)
    told = [line for line in capsys.readouterr().out.splitlines() if "[loss-spike" in line]
    assert "opened: " in told[0] and "[loss-spike, known at step 10" in told[0]
    assert "opened again: " in told[2] and "[loss-spike, first known at step 10" in told[2]


def test_what_is_told_does_not_depend_on_when_it_came(tmp_path: Path, capsys: Any) -> None:
    text = rows([*FALLING, *[9.0] * 5, *[3.0] * 60, math.nan, math.inf, 3.0])
    path = tmp_path / "a.jsonl"
    path.write_text(text)
    watch(str(path), judging(), "json", script())
    at_once = capsys.readouterr().out
    path.unlink()
    watch(str(path), judging(), "json", script(*(append(path, text[at : at + 97]) for at in range(0, len(text), 97))))
    said = capsys.readouterr()
    assert said.out == at_once
    assert said.err == f"runwell watch: {path} is not there yet; waiting for it\n"
    lines = [json.loads(line, parse_constant=lambda bare: pytest.fail(f"bare {bare}")) for line in at_once.splitlines()]
    assert lines[0]["change"] == "opened" and lines[-1]["verdict"] == "critical"
    (blown,) = [line["finding"] for line in lines[:-1] if line["change"] == "opened" and line["finding"]["rule"] == "non-finite-loss"]  # fmt: skip
    assert blown["evidence"][0]["observed"] == "NaN"


@pytest.mark.parametrize("replace", [True, False], ids=["replaced", "cut"])
def test_a_log_that_begins_anew_is_judged_anew(tmp_path: Path, capsys: Any, replace: bool) -> None:
    path, other = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    path.write_text(rows([math.nan] * 5))
    other.write_text(rows([3.0]))

    def anew() -> None:
        if replace:
            other.replace(path)
        else:
            path.write_text(rows([3.0]))

    assert watch(str(path), judging(), "text", script(anew, append(path, rows([2.9, 2.8], 1)))) == 0
    said = capsys.readouterr()
    assert "began anew; judging it from its beginning" in said.err
    assert said.out.endswith(f"{path}: healthy\n")


def test_what_cannot_be_followed_gets_one_sentence(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(os.urandom(100)))
    (tmp_path / "b.txt").write_text("hello world\n")
    (tmp_path / "c.csv").write_text("step,thing\n1,2\n")
    for name, sentence in (
        ("a.gz", "is packed, so it cannot be followed; `runwell diagnose` reads it"),
        ("b.txt", "holds nothing that can be read"),
        ("c.csv", "holds no series that a rule knows; name one with --map"),
    ):
        assert watch(str(tmp_path / name), judging(), "text", script()) == 3
        said = capsys.readouterr()
        assert sentence in said.err.splitlines()[-1] and said.out == ""


@pytest.mark.parametrize("value", ["0", "nan", "-1", "1e9"])
def test_a_wrong_interval(capsys: Any, value: str) -> None:
    assert main(["watch", "x", f"--interval={value}"]) == 3
    assert "is not allowed; it takes 0.05 to 3600 seconds" in capsys.readouterr().err


def test_standard_input_is_judged_until_it_ends(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    import io

    monkeypatch.setattr(sys, "stdin", io.StringIO(rows([4.0, 3.9, math.nan])))
    assert main(["watch", "-"]) == 2
    assert "[non-finite-loss, known at step 2]" in capsys.readouterr().out


@pytest.mark.slow
def test_ctrl_c_ends_a_real_watch_with_the_verdict(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(rows([4.0, 3.9, math.nan]))
    command = [sys.executable, "-m", "runwell.cli", "watch", str(path), "--format", "json", "--interval", "0.05"]
    # Tests that a shell runs in the background inherit an ignored Ctrl-C: a terminal's program does not.
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["finding"]["rule"] == "non-finite-loss"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (json.loads(out)["verdict"], err, process.returncode) == ("critical", "", 2)


def test_what_was_read_is_told_at_the_end(tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"step": 1, "bar": 3.0, "total_loss": 3.1, "foo": 1}\n')
    assert watch(str(path), judging(), "text", script()) == 0
    assert capsys.readouterr().out == f"read: steps 1 to 1; training loss ← total_loss; not used bar, foo (--map NAME=ROLE)\n{path}: healthy\n"  # fmt: skip
    watch(str(path), judging(), "json", script())
    assert json.loads(capsys.readouterr().out)["read"]["roles"] == {"train_loss": "total_loss"}


def test_a_folder_of_logs_is_followed_one_by_one_and_nothing_is_not_called_a_log(tmp_path: Path, capsys: Any) -> None:
    assert watch(str(tmp_path), judging(), "text", script()) == UNREADABLE
    told = capsys.readouterr().err
    assert f"{tmp_path} holds no event files yet; waiting for them" in told
    assert f"{tmp_path}: nothing was there to read" in told
    (tmp_path / "a.csv").write_text("step,loss\n1,3\n")
    with pytest.raises(BadArgument, match=r"holds no event files of its own; name one of the logs in it, as .*a\.csv"):
        watch(str(tmp_path), judging(), "text", script())


def test_whoever_reads_the_changes_may_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    path = tmp_path / "x.jsonl"
    path.write_text('{"step": 1, "loss": "NaN"}\n')
    monkeypatch.setattr(sys, "stdout", Gone())
    with pytest.raises(BrokenPipeError):
        watch(str(path), judging(), "text", script())
    assert not capsys.readouterr().err, "no fault of the log"
