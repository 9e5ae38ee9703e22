"""A worker's output becomes clean, bounded log events; any cut between ranges and any repeat gives the same lines."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dashboard.output import (
    MAX_LINE_CHARACTERS,
    MAX_LINES,
    READ_BYTES,
    clean,
    events_of,
    last_lines,
    next_end,
    read_range,
)


def texts(data: bytes) -> list[str]:
    return [event["text"] for event in events_of(data, 1.0)]


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain", "plain"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("bell\x07 back\x08space \x00nul", "bell backspace nul"),
        ("10%\r50%\r100%", "100%"),
        ("done\r", "done"),
        ("tab\tstays", "tab\tstays"),
        ("safe \u202eevil", "safe evil"),
        ("naïve ✓ 漢字", "naïve ✓ 漢字"),
        ("   ", ""),
    ],
)
def test_a_line_is_shown_as_a_person_sees_it(raw: str, shown: str) -> None:
    assert clean(raw) == shown


def test_a_long_line_is_cut_and_says_so() -> None:
    shown = clean("x" * (MAX_LINE_CHARACTERS + 1234))
    assert shown == "x" * MAX_LINE_CHARACTERS + " [… 1,234 characters more]"


def test_a_flood_keeps_its_head_and_tail_and_says_what_is_missing() -> None:
    lines = [f"line {n}" for n in range(MAX_LINES * 3)]
    shown = texts("\n".join(lines).encode())
    assert len(shown) == MAX_LINES
    assert shown[: MAX_LINES // 2] == lines[: MAX_LINES // 2]
    tail = MAX_LINES - MAX_LINES // 2 - 1
    assert shown[-tail:] == lines[-tail:]
    left_out = len(lines) - (MAX_LINES - 1)
    assert f"{left_out:,} lines left out" in shown[MAX_LINES // 2]


def test_bytes_that_are_no_text_are_shown_and_cost_nothing_else() -> None:
    assert texts(b"good\n\xff\xfe bad\nloss nan\n") == ["good", "�� bad", "loss nan"]


LINES = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=30), max_size=30)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(LINES, st.sets(st.integers(0, 2000), max_size=8))
def test_every_line_comes_once_wherever_the_ranges_end(tmp_path: Path, lines: list[str], looks: set[int]) -> None:
    whole = "".join(line + "\n" for line in lines).encode()
    path = tmp_path / "output.log"
    shown, done = list[str](), 0
    for size in [*sorted(look for look in looks if look < len(whole)), len(whole)]:
        path.write_bytes(whole[:size])
        end = next_end(path, done, to_the_end=False)
        shown += texts(read_range(path, done, end))
        done = end
    assert shown == texts(whole)


def test_an_unfinished_line_waits_until_the_worker_is_dead(tmp_path: Path) -> None:
    path = tmp_path / "output.log"
    path.write_bytes(b"whole\nhalf")
    assert next_end(path, 0, to_the_end=False) == 6
    assert next_end(path, 6, to_the_end=False) == 6
    assert next_end(path, 6, to_the_end=True) == 10


def test_a_progress_bar_gives_its_latest_state_at_each_look(tmp_path: Path) -> None:
    path = tmp_path / "output.log"
    path.write_bytes(b"1%\r2%\r3")
    end = next_end(path, 0, to_the_end=False)
    assert (end, texts(read_range(path, 0, end))) == (6, ["2%"])


def test_a_line_without_end_cannot_hold_everything_up(tmp_path: Path) -> None:
    path = tmp_path / "output.log"
    path.write_bytes(b"x" * (READ_BYTES + 10))
    assert next_end(path, 0, to_the_end=False) == READ_BYTES
    assert next_end(path, 0, to_the_end=True) == READ_BYTES
    assert next_end(path, READ_BYTES, to_the_end=True) == READ_BYTES + 10


def test_the_last_lines_come_from_the_end_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "output.log"
    assert last_lines(path, 3) == []
    path.write_text("".join(f"line {n}\n" for n in range(10_000)) + "\n\x1b[1mthe end\x1b[0m\n")
    assert last_lines(path, 2) == ["line 9999", "the end"]
