"""The table of `make bench`: what each answer of a driver becomes, and that the spikes and records counted are the real ones."""

from __future__ import annotations

import json
import struct

import pytest

from benchmarks import bench, growth, store
from benchmarks.peers import driver
from benchmarks.peers.in_sqlite import begin, kept, size
from benchmarks.peers.in_wandb import records
from benchmarks.peers.tool import NAMES, SPIKES, TOOLS, spiked, spikes_in, stream

WHOLE = {
    "versions": {"trackio": "1.2"}, "flat_p50": 1.44, "flat_p99": 9.0, "calls": 1590, "p50": 11.46, "p99": 1051.04, "logged": 643, "kept": 640,
    "points_per_second": 154578.8, "bytes_a_point": 11.09, "spikes": 97, "drawn": 2000,
    "charts": [{"first": 1569.0, "again": 528.0, "spikes": 40}, {"first": 3004.0, "again": 956.0, "spikes": 7}],
}  # fmt: skip


def test_a_row_says_what_was_measured() -> None:
    line = "| Trackio, trackio 1.2 | 1.4 | 9.0 | 11.5 | 1,051.0 | 1,590 | 3 of 643 | 154,579 | 11.1 | 97 | 1.57 (0.53) | 3.00 (0.96) | 7 |"
    assert bench.row("trackio", WHOLE) == line
    assert all(part.count("|") == line.count("|") for part in bench.heading().splitlines())
    line = bench.row("trackio", WHOLE, pages=True)
    assert line == "| Trackio, trackio 1.2 | 1.57 (0.53) | 3.00 (0.96) | 7 |"
    assert all(part.count("|") == line.count("|") for part in bench.heading(pages=True).splitlines())


def test_a_tool_without_a_page_draws_nothing_and_a_failed_part_says_so() -> None:
    line = bench.row("wandb", WHOLE | {"spikes": None, "poured_failed": "5 of 6 steps were kept", "charts": [{}, {}]})
    assert line.endswith("| 3 of 643 | failed | failed | – | – | – | – |")
    remarks = bench.remarks({"wandb": {"poured_failed": "5 of 6 steps were kept"}})
    assert remarks == ["W&B offline: poured failed: 5 of 6 steps were kept"]


def test_a_page_that_is_late_or_broken_says_so() -> None:
    found = WHOLE | {"charts": [{"late": 120.0}, {"failed": "no chromium"}]}
    assert bench.row("mlflow", found).endswith("| 97 | > 120 | failed | – |")
    assert bench.remarks({"mlflow": found}) == ["MLflow server on SQLite: page of 1,000,000 points: no chromium"]
    line = bench.row("mlflow", WHOLE | {"charts": [{}, {"unfilled": 300.0}]})
    assert line.endswith("| 97 | – | not filled in 300 s | – |")


@pytest.mark.parametrize("words", ["ModuleNotFoundError: No module named 'mlflow'", "There is no interpreter"])
def test_a_missing_peer_is_a_row_and_says_how_to_get_it(words: str) -> None:
    found = bench.parsed(1, "", words) if "Error" in words else bench.ask("mlflow", "/no/such/python", 1.0)
    assert "missing" in found
    assert "| not installed |" in bench.row("mlflow", found)
    assert bench.INSTALL in bench.remarks({"mlflow": found})[-1]


def test_an_answer_is_the_last_line_and_any_other_end_is_a_failure() -> None:
    assert bench.parsed(0, "* talk\n" + json.dumps(WHOLE) + "\n", "") == WHOLE
    assert bench.parsed(1, "", "Traceback\nValueError: no") == {"failed": "ValueError: no"}
    assert "| failed |" in bench.row("mlflow", {"failed": "ValueError: no"})


def test_every_tool_is_a_module() -> None:
    folder = bench.ROOT / "benchmarks/peers"
    assert {path.stem for path in folder.glob("in_*.py")} == {f"in_{name}" for name in TOOLS}
    assert all(name in bench.INSTALL for name in TOOLS if name not in bench.OURS)


def test_spikes_are_single_steps_and_each_is_counted_once() -> None:
    values = [row[NAMES[0]] for _, row in spiked(10_000)]
    assert len(values) == 10_000
    assert spikes_in(values) == spikes_in(values + values) == SPIKES
    assert spikes_in(values[: len(values) // 2]) == SPIKES // 2
    assert spikes_in(row[NAMES[0]] for _, row in stream(1000)) == 0


def test_a_step_in_flight_makes_good_for_no_lost_one() -> None:
    assert driver.kept_of({0, 1, 3, 4}, 4) == 3
    assert driver.kept_of(set(), 4) == 0


def test_percentiles_are_microseconds() -> None:
    assert driver.percentiles([1000 * number for number in range(1, 101)]) == {"calls": 100, "p50": 51.0, "p99": 100.0}


def test_records_over_blocks_are_joined_and_one_cut_off_is_not_counted() -> None:
    def fragment(kind: int, data: bytes) -> bytes:
        return struct.pack("<IHB", 0, len(data), kind) + data

    first = fragment(1, b"a" * 100)
    room = 32 * 1024 - 7 - len(first) - 7
    data = b":W&B" + bytes(3) + first + fragment(2, b"b" * room) + fragment(4, b"c" * 50)
    assert list(records(data)) == [b"a" * 100, b"b" * room + b"c" * 50]
    assert list(records(data[:-1])) == [b"a" * 100]


def test_the_raw_limit_counts_only_whole_steps(tmp_path) -> None:  # type: ignore[no-untyped-def]
    log = begin(tmp_path, "")
    log.pour(list(stream(20)))
    log.log({NAMES[0]: 1.0}, 20)
    log.finish()
    assert kept(tmp_path, "") == set(range(20))
    assert size(tmp_path) > 0


def test_how_ours_grows_is_told_by_points_and_by_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stored: list[tuple[int, int]] = []

    def store_points(runs: int, series: int, rows: int) -> store.Stored:
        stored.append((runs, runs * series * rows))
        return store.Stored(runs, series, runs * series * rows, 2.0, 1.0, 5.0)

    monkeypatch.setattr(growth, "call", lambda points, folder: (1.6, 2.5))
    monkeypatch.setattr(growth.store, "store_points", store_points)
    monkeypatch.setattr(growth.store, "fill", lambda path, points: None)
    monkeypatch.setattr(growth.store, "chart", lambda path, points: store.Chart(points, 15.0, 14.0))
    monkeypatch.setattr(growth.store, "runs_page", lambda count: store.Listed(count, 1.0, 2.0))
    monkeypatch.setattr(growth.pages, "chart", lambda name, python, points: {"failed": "no chromium"})
    growth.tables(1.0)
    lines = capsys.readouterr().out.splitlines()
    assert "| 10,000,000 | 1.6 | 2.5 | 4,999,998 | 5.0 | 15.0 | no chromium | – |" in lines
    assert [round(points, -5) for _, points in stored] == [0, 100_000, 1_000_000, 10_000_000, *[2_000_000] * 3]
    assert [runs for runs, _ in stored] == [1, 1, 1, 1, 1, 10, 100] and lines[-1] == "| 100 | 999,900 | 5.0 | 2 |"
