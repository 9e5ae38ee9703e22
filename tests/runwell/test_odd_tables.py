"""Tables and texts as people, spreadsheets and shells write them: what they mean is read, and what cannot be known is told."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import pytest

from runwell.follow import follow_events
from runwell.runlog import UnreadableLog, read_events, read_tables
from runwell.table import Table

ROWS = [(step, 3 + 5 / (1 + step / 100)) for step in range(0, 3000, 10)]


def read(text: str) -> tuple[list[tuple[Any, ...]], list[str]]:
    """(step, loss) of each row, and what was told; read at a stroke and one by one, which must be the same."""
    told: list[str] = []
    one_by_one = list(read_events(io.StringIO(text, newline=""), name="run.csv", on_problem=told.append))
    at_a_stroke: list[Any] = []
    for item in read_tables(io.StringIO(text, newline=""), name="run.csv"):
        at_a_stroke += item.events() if isinstance(item, Table) else [item]
    assert at_a_stroke == one_by_one
    return [(event["step"], event.get("loss")) for event in one_by_one], told


def table(rows: list[tuple[int, float]], *, of: str = "{step},{loss:.4f}\n") -> str:
    return "".join(of.format(step=step, loss=loss) for step, loss in rows)


def meant(rows: list[tuple[int, float]] = ROWS) -> list[tuple[int, float]]:
    return [(step, round(loss, 4)) for step, loss in rows]


@pytest.mark.parametrize(
    "text",
    [
        "# my run\n# begun today\nstep,loss\n" + table(ROWS),
        "# step,loss\n" + table(ROWS),
        "# step loss\n" + table(ROWS, of="{step:.18e} {loss:.4f}\n"),
        "sep=;\nstep;loss\n" + table(ROWS, of="{step};{loss:.4f}\n"),
        "step  loss\n" + table(ROWS, of="{step:6d}   {loss:.4f}\n"),
        "step,loss\n" + table(ROWS, of='"{step:,}",{loss:.4f}\n'),
        "step;loss\n" + table(ROWS, of="{step:,};{loss:.4f}\n"),
        "step,loss\n" + table(ROWS, of="{step}/3000,{loss:.4f}\n"),
    ],
    ids=["comments", "header-behind-#", "numpy", "sep", "gaps", "thousands", "thousands;", "of-all"],
)
def test_tables_of_other_writers_are_read(text: str) -> None:
    assert read(text) == (meant(), [])


def test_a_header_that_stands_again_is_no_row_and_other_columns_count_from_there() -> None:
    first, second = ROWS[:150], ROWS[150:]
    again = "step,loss\n" + table(first) + "step,loss\n" + table(second)
    assert read(again) == (meant(), [])
    other = "step,loss\n" + table(first) + "step,lr,loss\n" + table(second, of="{step},0.001,{loss:.4f}\n")
    assert read(other) == (meant(), []), "the rate must not be read as the loss"


def test_a_row_with_more_numbers_than_names_is_told_and_not_guessed_at() -> None:
    with pytest.raises(UnreadableLog, match="it has 3 cells under 2 names"):
        list(read_events(io.StringIO("step,loss\n0,8,3562\n10,7,2561\n"), name="comma.csv"))
    found, told = read("step,loss\n" + table(ROWS) + "3000,3,15\n")
    assert (found, told) == (
        meant(),
        ["run.csv, line 302: it has 3 cells under 2 names, so which number is which cannot be told"],
    )
    assert read("step,loss,note\n0,3.5,a word, and another\n") == ([(0, 3.5)], []), (
        "words beyond the last name are no numbers"
    )


def test_a_step_that_begins_like_a_number_and_is_none_is_told() -> None:
    found, told = read("step,loss\n0,3.5\n1.5k,3.25\n")
    assert found == [(0, 3.5)]
    assert told == ["run.csv, line 3: step = '1.5k' is no step; it takes a whole number from 0 to 2^53"]


@pytest.mark.parametrize(
    "first", ["2024 INFO [step=10/1000,epoch=1,eta=1:00]", "iter 0: loss 10.9, time 3ms, mfu 1.5%"]
)
def test_a_line_that_reports_names_no_columns(first: str) -> None:
    text = f"{first}\n    optim/grad norm=1.5\n    train/CE loss=10.5\n    tokens=1,234\n"
    assert all("epoch=1" not in event for event in read_events(io.StringIO(text)))


@pytest.mark.parametrize(
    ("spelled", "value"),
    [
        ("nan", math.nan),
        ("-nan", math.nan),
        ("NaN", math.nan),
        ("inf", math.inf),
        ("-inf", -math.inf),
        ("+Infinity", math.inf),
    ],
)
def test_numbers_that_are_not_finite_are_read_bare_in_json(spelled: str, value: float) -> None:
    (event,) = read_events(io.StringIO(f'{{"step": 1, "loss": {spelled}, "note": "a nan"}}\n'))
    assert math.isnan(event["loss"]) if math.isnan(value) else event["loss"] == value


@pytest.mark.parametrize("spelled", ["1.#IND", "-1.#IND00", "1.#QNAN", "-nan(ind)"])
def test_not_a_number_as_microsoft_spells_it(spelled: str) -> None:
    (event,) = read_events(io.StringIO(f"step,loss\n1,{spelled}\n"))
    assert math.isnan(event["loss"])


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_what_windows_redirects_is_read(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "train.log"
    path.write_bytes("".join(f"iter {step}: loss {loss:.4f}, time 3ms\r\n" for step, loss in ROWS).encode(encoding))
    assert [(event["step"], event["loss"]) for event in read_events(path)] == meant()
    with pytest.raises(UnreadableLog, match="is UTF-16, so it cannot be followed"):
        list(follow_events(path, lambda: False, print))


@pytest.mark.parametrize(
    ("begin", "why"),
    [
        (b"PK\x03\x04", "packed with zip; unpack it first"),
        (b"BZh9", "packed with bzip2"),
        (b"\x80\x02}q\0", "binary data, not text"),
    ],
)
def test_what_is_no_text_is_called_by_its_name(tmp_path: Path, begin: bytes, why: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(begin + b"\x01\x02 step,loss\n1,2\n" * 9)
    with pytest.raises(UnreadableLog, match=why):
        list(read_events(path))


def test_a_log_that_was_cut_while_it_was_written_begins_with_nothing(tmp_path: Path) -> None:
    path = tmp_path / "train.log"
    path.write_bytes(b"\0" * 5000 + b"\niter 10: loss 2.5, time 3ms\niter 20: loss 2.25, time 3ms\n")
    assert [event["loss"] for event in read_events(path)] == [2.5, 2.25]


@pytest.mark.parametrize("text", ["#", "# step,loss\n# 1,2.5\n", "sep=;"])
def test_comments_alone_are_no_table(text: str) -> None:
    with pytest.raises(UnreadableLog, match="no header stands below"):
        read(text)


def test_rows_of_words_below_names_that_tell_steps_are_a_table_all_the_same() -> None:
    rows, told = read("step,loss\n" + "saved,well\n" * 30 + "10,2.5\n20,2.25\n")
    assert rows == [(10, 2.5), (20, 2.25)] and len(told) == 20
