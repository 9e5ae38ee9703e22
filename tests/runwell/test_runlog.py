"""Run logs: whatever a tool writes is read as far as it can be, and what cannot is told by its line."""

from __future__ import annotations

import gzip
import io
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runwell.csvrows import read_csv
from runwell.lines import AT_ONCE, Lines
from runwell.loglines import read_json_lines
from runwell.rows import parse_number
from runwell.runlog import MAX_TOLD, PATIENCE, UnreadableLog, read_events, read_tables, write_events
from runwell.table import Table


def read(text: str) -> tuple[list[dict[str, Any]], list[str]]:
    told: list[str] = []
    return list(read_events(io.StringIO(text, newline=""), name="run.log", on_problem=told.append)), told


def numbers(text: str) -> list[dict[str, Any]]:
    """The metrics of a log that has no problems."""
    events, told = read(text)
    assert told == []
    return [{name: value for name, value in event.items() if name != "type"} for event in events]


def same(a: Any, b: Any) -> bool:
    return repr(a) == repr(b)


# -- JSON lines ----------------------------------------------------------------------------------------------------


def test_our_own_form() -> None:
    events, told = read(
        '{"type":"config","config":{"lr":1}}\n'
        '{"type":"config","lr":2,"vocab_size":65}\n'
        '{"type":"metrics","step":12,"time":5.5,"train_loss":"NaN","lr":3e-4}\n'
        '{"type":"sample","step":200,"prompt":"a","text":"b","extra":[1]}\n'
        '{"type":"state","state":"finished"}\n'
        '{"type":"novelty","anything":{"x":1}}\n'
    )
    assert told == []
    assert events[0] == {"type": "config", "config": {"lr": 1}}
    assert events[1] == {"type": "config", "config": {"lr": 2, "vocab_size": 65}}
    assert same(events[2], {"type": "metrics", "step": 12, "time": 5.5, "train_loss": math.nan, "lr": 3e-4})
    assert events[3] == {"type": "sample", "step": 200, "prompt": "a", "text": "b", "extra": [1]}
    assert [event["type"] for event in events[4:]] == ["state", "novelty"]


def test_lines_of_other_tools_are_metrics_when_they_hold_numbers() -> None:
    assert numbers('{"global_step": 5, "loss": 2.5, "epoch": 0.1, "note": "x", "ok": true, "none": null}\n') == [
        {"step": 5, "loss": 2.5, "epoch": 0.1, "ok": 1.0}
    ]
    assert numbers('{"_step": 3, "_timestamp": 7, "train": {"loss": 1}}\n') == [
        {"step": 3, "time": 7.0, "train/loss": 1.0}
    ]


def test_a_count_and_its_end_in_one_cell() -> None:
    line = '{"loss": 2.5, "global_step/max_steps": "10/438", "ratio": "1/2"}\n'
    assert numbers(line) == [{"step": 10, "loss": 2.5}]


@pytest.mark.parametrize("spelling", ["NaN", '"NaN"', '"nan"', '"-nan"'])
def test_nan_in_any_spelling(spelling: str) -> None:
    (point,) = numbers(f'{{"step":1,"loss":{spelling}}}\n')
    assert math.isnan(point["loss"])


@pytest.mark.parametrize("spelling", ["-Infinity", '"-Infinity"', '"-inf"', '"-INF"'])
def test_infinity_in_any_spelling(spelling: str) -> None:
    assert numbers(f'{{"step":1,"loss":{spelling}}}\n') == [{"step": 1, "loss": -math.inf}]


def test_rows_without_a_step_are_counted() -> None:
    assert [point["step"] for point in numbers('{"loss":1}\n\n{"loss":2}\n{"loss":3}\n')] == [0, 1, 2]
    assert [point["step"] for point in numbers('{"loss":1,"step":40}\n{"val_loss":2}\n{"loss":3,"step":50}\n')] == [
        40,
        40,
        50,
    ]


def test_a_torn_last_line_is_no_fault() -> None:
    events, told = read('{"step":1,"loss":1}\n{"step":2,"lo')
    assert [event["step"] for event in events] == [1] and told == []


def test_bad_lines_are_told_by_number_and_skipped() -> None:
    events, told = read(
        '{"step":1,"loss":1}\nTraceback (most recent call last):\n{"step":-4,"loss":1}\n{"a":"b"}\n{"step":2,"loss":1}\n'
    )
    assert [event["step"] for event in events] == [1, 2]
    assert told == [
        "run.log, line 2: the JSON cannot be read: Expecting value at character 0",
        "run.log, line 3: step = -4 is no step; it takes a whole number from 0 to 2^53",
        "run.log, line 4: there is no number in it",
    ]


def test_a_thousand_bad_lines_are_not_a_thousand_sentences() -> None:
    _, told = read('{"loss":1}\n' + "junk\n" * 1000)
    assert len(told) == MAX_TOLD and told[-1].endswith("further bad lines are not listed")


# -- CSV -----------------------------------------------------------------------------------------------------------


def test_csv_with_empty_cells_and_non_finite_numbers() -> None:
    text = "step,train_loss,val_loss,note\n0,4.5,,a\n1,nan,4.2,\n2,-inf,,\n3,1.#QNAN,Infinity,x\n"
    assert same(
        numbers(text),
        [
            {"step": 0, "train_loss": 4.5},
            {"step": 1, "train_loss": math.nan, "val_loss": 4.2},
            {"step": 2, "train_loss": -math.inf},
            {"step": 3, "train_loss": math.nan, "val_loss": math.inf},
        ],
    )


@pytest.mark.parametrize("column", ["step", "Step", "global_step", "iteration", "iter", "_step", "trainer/global_step"])
def test_step_columns(column: str) -> None:
    assert numbers(f"loss,{column}\n1.5,10\n1.4,20\n") == [{"step": 10, "loss": 1.5}, {"step": 20, "loss": 1.4}]


def test_epochs_count_only_while_they_are_whole() -> None:
    assert [point["step"] for point in numbers("epoch,loss\n0,3\n1,2\n2,1\n")] == [0, 1, 2]
    assert [point["step"] for point in numbers("epoch,loss\n0.5,3\n1.0,2\n1.5,1\n2.0,1\n")] == [0, 1, 2, 3]
    assert [point["step"] for point in numbers("loss\n3\n2\n")] == [0, 1]
    # rounded to two places, the first rows of a run are all at 0.0
    assert [point["step"] for point in numbers("epoch,loss\n0.0,3\n0.0,2\n0.0,1\n0.0,1\n0.01,1\n")] == [0, 0, 2, 3, 4]
    assert [point["step"] for point in numbers("epoch,loss\n7,3\n7,2\n7,1\n7,1\n8,1\n")] == [7, 7, 8, 9, 10]
    # a row of training and one of evaluation for each
    assert [point["step"] for point in numbers("epoch,a,b\n1,3,\n1,,2\n2,1,\n2,,1\n")] == [1, 1, 2, 2]


def test_tensorboards_csv() -> None:
    assert numbers("Wall time,Step,Value\n1700000000.5,7,0.25\n") == [{"step": 7, "time": 1700000000.5, "Value": 0.25}]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_delimiters_quotes_and_line_ends(delimiter: str) -> None:
    text = delimiter.join(['"step"', '"a name"']) + "\r\n" + delimiter.join(["1", '"2.5"']) + "\r\n"
    assert numbers(text) == [{"step": 1, "a name": 2.5}]


def test_bad_rows_are_told_and_skipped() -> None:
    events, told = read("step,loss\n1,2.5\nx,y\n2\n3,1.5\n")
    assert [event["step"] for event in events] == [1, 3]
    assert told == [
        "run.log, line 3: there is no number in it",
        "run.log, line 4: there is no number in it but its step",
    ]


# -- files ---------------------------------------------------------------------------------------------------------


def test_files_plain_packed_and_with_a_byte_order_mark(tmp_path: Path) -> None:
    text = "step,loss\n1,nan\n"
    (tmp_path / "a.csv").write_text("\ufeff" + text, encoding="utf-8")
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(text.encode()))
    for name in ("a.csv", "b.csv.gz"):
        (event,) = read_events(tmp_path / name)
        assert event["step"] == 1 and math.isnan(event["loss"])


@pytest.mark.parametrize(
    ("head", "more", "said"),
    [
        (b'{"step": 1, "loss": ', b"1", "bomb.gz has a line of more than 1 MiB"),
        (b"step,loss\n1,2\n2,", b" ", "bomb.gz has a line of more than 1 MiB"),
        (b'[\n{"step": 1, "loss": 2.0}', b',\n{"step": 2, "loss": 2.0}', "is one JSON document of more than 1 MiB"),
    ],
)
def test_a_small_file_that_unpacks_to_much_is_not_unpacked_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, head: bytes, more: bytes, said: str
) -> None:
    monkeypatch.setattr("runwell.runlog.MAX_BYTES", 2**20)
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(head + more * (8 * 2**20 // len(more)), 1))
    read_bytes: list[int] = []
    unpack = gzip.GzipFile.read1
    monkeypatch.setattr(
        gzip.GzipFile, "read1", lambda file, size=-1: read_bytes.append(len(got := unpack(file, size))) or got
    )
    with pytest.raises(UnreadableLog, match=said):
        list(read_events(path))
    assert sum(read_bytes) < 2**21
    path.write_text("\n".join(f'{{"step": {step}, "loss": 2.0}}' for step in range(60_000)))
    assert len(list(read_events(path))) == 60_000, "many lines may be as long together as they like"


def test_a_packed_file_that_is_cut_off_gives_what_is_there(tmp_path: Path) -> None:
    packed = gzip.compress(
        "".join(f'{{"step":{step},"loss":{step * 7919 % 1009}}}\n' for step in range(20_000)).encode()
    )
    path = tmp_path / "cut.gz"
    path.write_bytes(packed[: len(packed) // 2])
    steps = [event["step"] for event in read_events(path)]
    assert len(steps) > 5000 and steps == list(range(len(steps)))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "run.log is empty"),
        ("\n \n", "run.log is empty"),
        ("hello world\nwhat\n", "line 1: neither a JSON object nor a CSV header"),
        ("1,2\n3,4\n", "line 1: the first row must name the columns"),
        ("a,b\nx,y\n", "line 2: there is no number in it"),
        ('{"a":\n', "line 1: the JSON cannot be read"),
        ('{"a":', "line 1: the JSON cannot be read"),
    ],
)
def test_a_file_with_nothing_in_it_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(UnreadableLog) as raised:
        read(text)
    assert sentence in str(raised.value)


def test_missing_and_binary_files(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        list(read_events(tmp_path / "missing"))
    (tmp_path / "x").write_bytes(bytes(range(256)) * 50)
    with pytest.raises(UnreadableLog):
        list(read_events(tmp_path / "x"))


@given(st.text())
def test_any_text_gives_events_or_a_sentence(text: str) -> None:
    try:
        for event in read(text)[0]:
            assert event["type"]
    except UnreadableLog as error:
        assert str(error)


@given(
    st.lists(
        st.dictionaries(st.sampled_from(["a", "b/c", "损失"]), st.floats(), min_size=1).map(
            lambda d: {"type": "metrics", "step": 1, **d}
        ),
        min_size=1,
    )
)
def test_what_is_written_is_read_again(events: list[dict[str, Any]]) -> None:
    file = io.StringIO()
    assert write_events(events, file) == len(events)
    for line in file.getvalue().splitlines():
        json.loads(line, parse_constant=lambda name: pytest.fail(f"bare {name}"))
    found, told = read(file.getvalue())
    assert same(found, events) and told == []


@pytest.mark.parametrize(
    ("text", "number"),
    [("1e3", 1000.0), (" 2 ", 2.0), ("+inf", math.inf), ("-1.#INF", -math.inf), ("INFINITY", math.inf)],
)
def test_spelled_numbers(text: str, number: float) -> None:
    assert parse_number(text) == number


@pytest.mark.parametrize("text", ["", "x", "1_000", "1,5", "--1", "infinite", "nano"])
def test_what_is_no_number(text: str) -> None:
    assert parse_number(text) is None


# -- reading ahead -------------------------------------------------------------------------------------------------


def items(read: Any, text: str, *, bulk: bool) -> list[Any]:
    """What a reader makes of a text, its tables row by row."""
    found = read(Lines(io.StringIO(text, newline="")), "log", bulk=bulk)
    return [one for item in found for one in events_of(item)]


ROWS = [
    '{"step":1,"loss":1}',
    '{"step":2,"loss":0.5,"lr":1e-3}',
    '{"lr":1,"step":3,"val/loss":2.5}',
    '{"type":"metrics","step":4,"time":5.5,"loss":"NaN"}',
    '{"type":"metrics","step":5,"time":1e300,"loss":2.5}',
    '{"step":6,"_timestamp":7,"time":null,"loss":2.5}',
    '{"step":7.0,"loss":true}',
    '{"step":"8","loss":null,"note":"x"}',
    '{"step":null,"iter":9,"loss":1}',
    '{"Step":10,"step":2,"loss":1}',
    '{"step":11}',
    '{"global_step":12,"loss":3}',
    '{"loss":NaN,"lr":"inf"}',
    '{"epoch":1,"loss":2}',
    '{"split":"val","step":13,"loss":1}',
    '{"split":"train","step":14,"loss":1}',
    '{"type":"eval","step":15,"loss":1}',
    '{"type":"train","step":16,"loss":1}',
    '{"type":"config","lr":1}',
    '{"type":7,"step":17,"loss":1}',
    '{"run":"a","step":30,"loss":1}',
    '{"run":"b","step":0,"loss":1}',
    '{"name":"loss","value":2.5,"step":31}',
    '{"seed":1,"step":32,"loss":1}',
    "",
    "junk",
    '{"a":1},{"b":2}',
    '{"a":"##"}',
    '{"a":[{}',
    "{}]}",
    '{},"\\u0023#",{}',
    "[1]",
    '{"step":-1,"loss":1}',
    '{"step":18,"loss":1' + "0" * 400 + "}",
    '{"loss":1' + "0" * 5000 + "}",
    '{"step":19,"a":{"b":2.5}}',
    '{"step":20,"":1,"loss":[1]}',
    '{"step":21,"l\\u0000":1,"loss":9007199254740993}',
]
CELLS = [
    "1",
    "2.5",
    "",
    " ",
    "nan",
    "-inf",
    "1_0",
    "word",
    "val",
    '"3"',
    '"a\nb"',
    '"open',
    "1\0",
    "9e99",
    "-1",
    "1.#QNAN",
]
HEADERS = [
    "step,loss,lr",
    "split,step,loss",
    "step,time,loss,loss",
    "epoch,loss,lr",
    "Step,step,a",
    "step,,loss",
    "run,step,loss",
    "a,time,iter",
]


def repeated(lines: st.SearchStrategy[str]) -> st.SearchStrategy[list[str]]:
    """Lines of which many are alike, as in logs, so that there are tables."""
    parts = st.lists(st.tuples(st.lists(lines, min_size=1, max_size=4), st.sampled_from([1, 1, 20, 90])), max_size=6)
    return parts.map(lambda parts: [line for some, times in parts for line in some * times])


@settings(max_examples=100, deadline=None)
@given(repeated(st.sampled_from(ROWS)), st.booleans(), st.sampled_from([7, 40, 4096]), st.sampled_from(["\n", "\r"]))
def test_reading_ahead_changes_nothing(lines: list[str], whole: bool, most: int, end: str) -> None:
    text = '{"step":0,"loss":9}\n' + "".join(line + end for line in lines) + ("" if whole else '{"step":5')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("runwell.lines.MOST", most)
        patch.setattr("runwell.lines.AT_ONCE", min(most, 128))
        assert repr(items(read_json_lines, text, bulk=True)) == repr(items(read_json_lines, text, bulk=False))


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(HEADERS),
    repeated(st.lists(st.sampled_from(CELLS), min_size=1, max_size=5).map(",".join)),
    st.sampled_from([7, 40, 4096]),
)
def test_reading_a_table_ahead_changes_nothing(header: str, rows: list[str], most: int) -> None:
    text = f"{header}\n1,2,3,4\n" + "".join(row + "\n" for row in rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("runwell.lines.MOST", most)
        patch.setattr("runwell.lines.AT_ONCE", min(most, 128))
        assert repr(items(read_csv, text, bulk=True)) == repr(items(read_csv, text, bulk=False))


@pytest.mark.parametrize("form", ["json", "csv"])
def test_rows_that_are_alike_are_read_as_tables(form: str) -> None:
    """Else the tests above would compare one by one with one by one."""
    rows = [(step, 2.5, 0.125 if step % 10 == 0 else None) for step in range(500)]
    if form == "json":
        text = "".join(json.dumps({"step": s, "loss": a} | ({"val": v} if v else {})) + "\n" for s, a, v in rows)
    else:
        text = "step,loss,val\n" + "".join(f"{s},{a},{v or ''}\n" for s, a, v in rows)
    found = list((read_json_lines if form == "json" else read_csv)(Lines(io.StringIO(text)), "log", bulk=True))
    assert sum(len(item) for item in found if isinstance(item, Table)) == 499
    assert found[1].cells["val"].count(None) == 450  # type: ignore[union-attr]


def test_what_is_read_ahead_is_bounded() -> None:
    lines = Lines("x" * 100_000 + "\n" for _ in range(10_000))
    assert len(lines.many()) == AT_ONCE and lines.number == AT_ONCE


def test_lines_before_an_error_are_not_lost() -> None:
    def texts() -> Iterator[str]:
        yield from (f'{{"step":{step},"loss":1}}\n' for step in range(1000))
        raise EOFError("cut off")

    assert [event["step"] for table in read_tables(texts()) for event in events_of(table)] == list(range(1000))


def events_of(item: Any) -> list[Any]:
    return list(item.events()) if isinstance(item, Table) else [item]


def test_a_corpus_is_not_read_to_its_end() -> None:
    lines = iter('{"text":"words"}\n' for _ in range(3 * PATIENCE))
    with pytest.raises(UnreadableLog, match="there is no number in it"):
        list(read_events(lines))
    assert next(lines, None) is not None


def test_numbers_with_underscores_are_words() -> None:
    events, told = read("step,loss\n1,2.5\n2,1_000\n3,1.5\n")
    assert [event["step"] for event in events] == [1, 3]
    assert told == ["run.log, line 3: there is no number in it but its step"]
