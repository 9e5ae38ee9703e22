"""Questions in SQL: what they see is what the curves show, and they change nothing whatever they try."""

from __future__ import annotations

import math
from typing import Any

import pytest
import sqlalchemy as sa

from dashboard.errors import CorruptStore, Refused
from dashboard.store import Store

FINDING = {
    "rule": "plateau", "subject": "", "status": "open", "severity": "warning", "title": "It stands still",
    "first_step": 1, "detected_step": 2, "last_step": 3,
}  # fmt: skip


def test_every_table_reads_as_a_person_would(store: Store, writer: Any, point: Any) -> None:
    writer(*[point(step, a=step / 2, b=-1.0) for step in range(3)])
    store.save_findings("r1", [FINDING], {"ran": [], "skipped": {}, "failed": {}})
    assert store.ask("SELECT id, state, last_step, json_extract(config, '$.max_steps') FROM runs").rows == (
        ("r1", "running", 2, 100),
    )
    found = store.ask("SELECT * FROM points WHERE name = 'a' ORDER BY step")
    assert found.columns == ("run", "name", "step", "time", "value")
    assert found.rows == tuple(("r1", "a", step, 1e9 + step, step / 2) for step in range(3))
    assert store.ask("SELECT name, step, value FROM latest ORDER BY name").rows == (("a", 2, 1.0), ("b", 2, -1.0))
    assert store.ask("SELECT run, rule, status FROM findings").rows == (("r1", "plateau", "open"),)
    assert store.ask("SELECT name, avg(value) FROM points GROUP BY 1 ORDER BY 1").rows == (("a", 0.5), ("b", -1.0))


def test_non_finite_values_are_seen(store: Store, writer: Any, point: Any) -> None:
    writer(*[point(step, a=value) for step, value in enumerate([1.0, math.nan, math.inf, -math.inf])])
    assert store.ask("SELECT value FROM points ORDER BY step").rows == ((1.0,), ("NaN",), (math.inf,), (-math.inf,))
    assert store.ask("SELECT count(*) FROM points WHERE value = 'NaN'").rows == ((1,),)
    assert store.ask("SELECT value FROM latest").rows == ((-math.inf,),)


def test_points_are_those_that_the_curve_shows(store: Store, writer: Any, point: Any) -> None:
    writer(*[point(step, a=1.0) for step in range(10)], {"type": "rewind", "step": 6, "time": 2e9})
    writer(*[point(step, time=2e9, a=2.0) for step in range(5, 8)], point(2**53, time=2e9, a=3.0))
    curve = store.series("r1", "a")
    found = store.ask("SELECT step, value FROM points ORDER BY step").rows
    assert found == tuple(zip(curve.step.tolist(), curve.last.tolist(), strict=True))
    assert [step for step, _ in found] == [*range(8), 2**53]


def test_more_rows_than_asked_for_are_said(store: Store, writer: Any, point: Any) -> None:
    writer(*[point(step, a=1.0) for step in range(10)])
    assert store.ask("SELECT step FROM points", limit=10).more is False
    found = store.ask("SELECT step FROM points", limit=9)
    assert found.more is True and len(found.rows) == 9


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("DELETE FROM runs", "only SELECT is answered here"),
        ("ATTACH 'x.db' AS x", "only SELECT is answered here"),
        ("PRAGMA writable_schema = 1", "only SELECT is answered here"),
        ("INSERT INTO runs (id) VALUES ('x') RETURNING id", "only SELECT is answered here"),
        ("SELECT 1; SELECT 2", r"one statement at a time\. There are: runs"),
        ("SELEC 1", r"SQL: near \"SELEC\": syntax error. There are: runs \(id, project"),
        ("SELECT nope FROM points", "SQL: no such column: nope. There are"),
        ("", "only SELECT is answered here"),
        ("SELECT '\udcff'", "the question is no text"),
        ("SELECT zeroblob(1000000000)", "one value of the answer is longer than 16 MiB"),
    ],
)
def test_what_is_no_question_is_refused_in_a_sentence(store: Store, writer: Any, question: str, said: str) -> None:
    with pytest.raises(Refused, match=said):
        store.ask(question)
    assert store.run("r1").id == "r1"


def test_a_question_that_takes_too_long_is_given_up(store: Store, writer: Any) -> None:
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    with pytest.raises(Refused, match=r"took longer than 0\.05 s"):
        store.ask(endless, seconds=0.05)


def test_what_is_laid_out_first_takes_of_the_time_and_only_what_is_asked_for(
    store: Store, writer: Any, point: Any
) -> None:
    writer(*[point(step, a=1.0) for step in range(10)])
    with pytest.raises(Refused, match="took longer than -1 s"):
        store.ask("SELECT 1", seconds=-1)
    read: list[str] = []
    sa.event.listen(store._database.engine, "before_cursor_execute", lambda *told: read.append(told[2]))
    assert store.ask("SELECT count(*) FROM runs").rows == ((1,),)
    assert not [statement for statement in read if "columns" in statement or "FROM series" in statement]
    assert store.ask("SELECT count(*) FROM points WHERE name = 'b'").rows == ((0,),)
    assert not [statement for statement in read if "columns.data" in statement]


def test_a_damaged_block_is_said_to_be(store: Store, writer: Any, point: Any) -> None:
    writer(point(1, a=1.0))
    with store._database.write() as connection:
        connection.exec_driver_sql("UPDATE columns SET data = steps FROM blocks WHERE blocks.key = block_key")
    with pytest.raises(CorruptStore):
        store.ask("SELECT * FROM points")
