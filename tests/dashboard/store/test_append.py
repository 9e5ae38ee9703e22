"""append(): each record once, in order, whatever is sent twice, cut or refused; and what it does to the run."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from typing import Any

import pytest

from dashboard.errors import DeletedRun, SequenceGap, UnknownRun
from dashboard.records import State
from dashboard.store import Store
from runwell.wire import Batch, refusal

RUN = {"type": "run", "project": "p", "name": "n", "time": 1e9}


def metric(step: int, **values: float) -> dict[str, Any]:
    return {"type": "metrics", "step": step, "time": 1e9 + step, **(values or {"a": float(step)})}


def test_a_run_event_makes_the_run(store: Store) -> None:
    event = RUN | {
        "config": {"lr": 0.1},
        "tags": ["x", "y"],
        "host": "box",
        "pid": 7,
        "pid_started_at": 5.5,
        "parent": "r0",
    }
    receipt = store.append("r1", Batch("w", 1, (event,)))
    assert (receipt.stored_through, receipt.stored, receipt.duplicates, receipt.first_arrival) == (1, 1, 0, 1)
    run = store.run("r1")
    assert (run.project, run.name, run.config, run.tags, run.host, run.pid, run.parent_id) == (
        "p",
        "n",
        {"lr": 0.1},
        ("x", "y"),
        "box",
        7,
        "r0",
    )
    assert run.state is State.RUNNING and run.started_at == 1e9 and run.pid_started_at == 5.5


def test_a_run_began_with_its_announcement_although_its_points_came_in_the_same_batch(store: Store) -> None:
    points = [{"type": "metrics", "step": step, "time": 100.0 + step, "a": 1.0} for step in range(5)]
    store.append("r1", Batch("w1", 1, ({"type": "run", "time": 99.0}, *points)))
    store.append("r2", Batch("w1", 1, (*points, {"type": "run", "time": 103.0})))
    assert (store.run("r1").started_at, store.run("r2").started_at) == (99.0, 100.0)


def test_a_later_run_event_merges(store: Store) -> None:
    store.append("r1", Batch("w", 1, (RUN | {"config": {"a": 1, "b": 1}, "tags": ["x"]},)))
    store.append(
        "r1", Batch("v", 1, ({"type": "run", "config": {"b": 2}, "tags": ["y", "x"]}, {"type": "config", "c": 3}))
    )
    run = store.run("r1")
    assert run.config == {"a": 1, "b": 2, "c": 3} and run.tags == ("x", "y") and run.name == "n"


def test_a_setting_at_every_step_does_not_read_all_settings_at_every_step(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.append("r1", Batch("w", 1, (RUN | {"config": {"a": 0}},)))
    texts = importlib.import_module("dashboard.store.ingest").texts
    unpack, read = texts.unpack, list[str]()
    monkeypatch.setattr(texts, "unpack", lambda text: read.append(text) or unpack(text))
    settings = tuple({"type": "config", "config": {f"k{number}": number, "a": number}} for number in range(50))
    store.append("r1", Batch("w", 2, (*settings, RUN | {"config": {"b": 1}})))
    assert len(read) < 10
    assert store.run("r1").config == {"a": 49, "b": 1} | {f"k{number}": number for number in range(50)}


def test_without_a_run_event_nothing_is_made(store: Store) -> None:
    for events in ((), (metric(1),)):
        with pytest.raises(UnknownRun, match="r1"):
            store.append("r1", Batch("w", 1, events))
    assert store.runs() == []


def test_a_refused_run_event_does_not_cost_the_rest(store: Store) -> None:
    receipt = store.append("r1", Batch("w", 1, (refusal("a bad name"), metric(1))))
    assert receipt.refused == ((1, "a bad name"),) and receipt.stored == 1
    assert store.series("r1", "a").step.tolist() == [1]


def test_sent_twice_is_stored_once(store: Store) -> None:
    events = (RUN, *[metric(step) for step in range(20)])
    store.append("r1", Batch("w", 1, events))
    again = store.append("r1", Batch("w", 1, events))
    assert (again.stored, again.duplicates, again.stored_through, again.first_arrival) == (0, 21, 21, 0)
    overlap = store.append("r1", Batch("w", 11, (*events[10:], metric(20), metric(21))))
    assert (overlap.stored, overlap.duplicates, overlap.stored_through, overlap.first_arrival) == (2, 11, 23, 22)
    assert store.series("r1", "a").step.tolist() == list(range(22))
    assert [number for number, _ in store.replay("r1")] == list(range(1, 24))


def test_an_old_batch_that_comes_late_changes_nothing(store: Store) -> None:
    store.append("r1", Batch("w", 1, (RUN, metric(1), metric(2), metric(3))))
    late = store.append("r1", Batch("w", 2, (metric(1),)))
    assert (late.stored, late.duplicates, late.stored_through) == (0, 1, 4)
    assert store.series("r1", "a").step.tolist() == [1, 2, 3]


def test_a_gap_is_refused_whole(store: Store) -> None:
    store.append("r1", Batch("w", 1, (RUN,)))
    with pytest.raises(SequenceGap, match="from 2") as gap:
        store.append("r1", Batch("w", 5, (metric(1),)))
    assert gap.value.expected_seq == 2
    assert store.series_names("r1") == []
    with pytest.raises(SequenceGap):
        store.append("r1", Batch("new", 2, (metric(1),)))


def test_refused_records_advance_the_mark(store: Store) -> None:
    receipt = store.append("r1", Batch("w", 1, (RUN, refusal("bad"), metric(1))))
    assert receipt.refused == ((2, "bad"),) and receipt.stored_through == 3 and receipt.stored == 2
    assert store.append("r1", Batch("w", 4, (metric(2),))).stored_through == 4


def test_writers_have_their_own_numbers(store: Store) -> None:
    store.append("r1", Batch("rank0", 1, (RUN, metric(1, a=1.0))))
    store.append("r1", Batch("rank1", 1, (metric(1, a=2.0),)))
    assert sorted(store.series("r1", "a").last.tolist()) == [1.0, 2.0]


def test_an_empty_batch_is_a_sign_of_life(store: Store, clock: Any) -> None:
    store.append("r1", Batch("w", 1, (RUN,)))
    clock.now += 60
    receipt = store.append("r1", Batch("w", 2, ()))
    assert receipt.stored == 0 and receipt.stored_through == 1
    assert store.run("r1").last_event_at == clock.now


def test_everything_or_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.append("r1", Batch("w", 1, (RUN,)))
    with monkeypatch.context() as broken:
        broken.setattr("dashboard.store.ingest.points.write", _fail)
        with pytest.raises(RuntimeError):
            store.append("r1", Batch("w", 2, ({"type": "sample", "step": 1, "text": "x"}, metric(1, brand_new=1.0))))
    assert store.samples("r1") == [] and store.series_names("r1") == []
    assert store.append("r1", Batch("w", 2, (metric(1, brand_new=1.0),))).stored == 1
    assert store.series("r1", "brand_new").last.tolist() == [1.0]


def _fail(*_: object) -> None:
    raise RuntimeError("the disk fell out")


# -- what is not a point ---------------------------------------------------------------------------------------------


def test_what_scripts_told_is_listed_over_all_runs_newest_first(store: Store) -> None:
    def alert(time: float, title: str, **more: Any) -> dict[str, Any]:
        return {"type": "alert", "time": time, "title": title, "text": "why", "level": "info", **more}

    store.append("r1", Batch("w", 1, (RUN, alert(10.0, "first", step=3), alert(30.0, "third"))))
    store.append("r2", Batch("w", 1, (RUN, alert(20.0, "second"), {"type": "log", "text": "no alert"})))
    told = store.alerts()
    assert [(run_id, entry.data["title"]) for run_id, entry in told] == [
        ("r1", "third"),
        ("r2", "second"),
        ("r1", "first"),
    ]
    assert (told[2][1].step, told[2][1].time, told[2][1].data["text"]) == (3, 10.0, "why")
    assert [entry.data["title"] for _, entry in store.alerts("r1")] == ["third", "first"]
    assert [entry.data["title"] for _, entry in store.alerts(limit=1)] == ["third"]
    with pytest.raises(UnknownRun):
        store.alerts("gone")


def test_what_scripts_told_is_chosen_by_its_level(store: Store) -> None:
    levels = ("critical", "info", None, "warning", "critical")
    told = [
        {"type": "alert", "time": float(number), "title": '"level":"info"', "step": number}
        | ({"level": level} if level else {})
        for number, level in enumerate(levels)
    ]
    store.append("r1", Batch("w", 1, (RUN, *told)))
    found = {level: [entry.step for _, entry in store.alerts(level=level)] for level in ("critical", "warning", "info")}
    assert found == {"critical": [4, 0], "warning": [3, 2], "info": [1]}
    assert [entry.step for _, entry in store.alerts("r1", level="critical", limit=1)] == [4]


def test_samples_lines_and_timeline(store: Store) -> None:
    hostile = "<img src=x onerror=alert(1)> \u202e ' \" ; DROP TABLE runs; -- 😀 \ud800"
    store.append(
        "r1",
        Batch(
            "w", 1,
            (
                RUN, {"type": "sample", "step": 5, "time": 2.0, "prompt": "To be", "text": hostile},
                {"type": "log", "stream": "stderr", "text": "line 1", "time": 3.0}, {"type": "log", "text": "line 2"},
                {"type": "checkpoint", "step": 9, "path": "c.safetensors", "val_loss": math.nan, "best": True, "time": 4.0},
                {"type": "alert", "title": "T", "text": "x", "level": "info"}, {"type": "something", "else": [1, math.inf]},
            ),
        ),
    )  # fmt: skip
    (sample,) = store.samples("r1")
    assert (sample.step, sample.time, sample.prompt, sample.text) == (5, 2.0, "To be", hostile)
    first, second = store.logs("r1")
    assert (first.stream, first.text, second.stream, second.text) == ("stderr", "line 1", "stdout", "line 2")
    assert store.logs("r1", after=first.number) == [second] == store.tail_logs("r1", 1)
    checkpoint, alert = store.timeline("r1")
    assert (checkpoint.kind, checkpoint.step, checkpoint.data["best"], alert.kind) == ("checkpoint", 9, True, "alert")
    assert math.isnan(checkpoint.data["val_loss"])
    kept = [event for _, event in store.replay("r1")][-1]
    assert kept["type"] == "something" and kept["else"] == [1, math.inf]  # unknown types are kept


def test_what_was_measured_of_a_sample_is_kept(store: Store) -> None:
    event = {
        "type": "sample",
        "step": 5,
        "text": "x",
        "verbatim_tokens": 60.0,
        "temperature": math.nan,
        "own": -math.inf,
    }
    store.append("r1", Batch("w", 1, (RUN, event | {"words": "no number", "flag": True, "named": "-Infinity"})))
    measures = store.samples("r1")[0].measures
    assert measures["verbatim_tokens"] == 60 and math.isnan(measures["temperature"]) and measures["own"] == -math.inf
    assert set(measures) == {"verbatim_tokens", "temperature", "own", "named"} and measures["named"] == -math.inf
    (kept,) = [event for _, event in store.replay("r1") if event["type"] == "sample"]
    assert math.isnan(kept["temperature"]) and kept["own"] == -math.inf and kept["words"] == "no number"


def test_samples_after_a_rewind_are_hidden(store: Store) -> None:
    samples = [{"type": "sample", "step": step, "text": str(step), "time": 1e9} for step in (10, 20, 30)]
    store.append("r1", Batch("w", 1, (RUN, *samples, {"type": "rewind", "step": 15, "time": 2e9}, samples[2])))
    assert [sample.step for sample in store.samples("r1")] == [10, 30]
    assert [sample.step for sample in store.samples("r1", limit=1)] == [30]


def test_replay_goes_on_from_a_number(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dashboard.store.replay.PAGE", 7)
    events = [RUN]
    for step in range(100):
        events.append(metric(step, a=1.0) if step % 10 else metric(step, a=1.0, b=2.0))
        if step % 25 == 0:
            events.append({"type": "log", "text": str(step), "time": 1.0})
    for start in range(0, len(events), 9):
        store.append("r1", Batch("w", start + 1, tuple(events[start : start + 9])))
    whole = list(store.replay("r1"))
    assert [event for _, event in whole] == events and [number for number, _ in whole] == list(
        range(1, len(events) + 1)
    )
    for after in (0, 1, 50, 104, 105, 999):
        assert list(store.replay("r1", after)) == whole[after:]


def test_replay_goes_on_while_blocks_are_merged(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dashboard.store.replay.PAGE", 5)
    store.append("r1", Batch("w", 1, (RUN, metric(0))))
    for step in range(1, 20):
        store.append("r1", Batch("w", step + 2, (metric(step),)))
    reading = store.replay("r1")
    seen = [next(reading) for _ in range(8)]
    for step in range(20, 60):
        store.append("r1", Batch("w", step + 2, (metric(step),)))
    seen += list(reading)
    assert [event.get("step") for _, event in seen] == [None, *range(60)]


# -- the life of a run -----------------------------------------------------------------------------------------------


def test_a_state_event_ends_the_run_and_its_last_words_do_not_revive_it(store: Store) -> None:
    end = {"type": "state", "state": "crashed", "reason": "ValueError: no", "exit_code": 1, "time": 2e9}
    store.append("r1", Batch("w", 1, (RUN, metric(1), end, {"type": "log", "text": "bye", "time": 2e9 + 1})))
    run = store.run("r1")
    assert (run.state, run.state_reason, run.exit_code, run.ended_at) == (State.CRASHED, "ValueError: no", 1, 2e9)
    store.append("r1", Batch("late", 1, (metric(2),)))  # logged before the end, arrived after it
    assert store.run("r1").state is State.CRASHED
    store.append("r1", Batch("w", 5, (metric(3) | {"time": 3e9},)))
    assert store.run("r1").state is State.RUNNING and store.run("r1").ended_at is None


def test_a_lost_run_that_speaks_is_running(store: Store) -> None:
    store.append("r1", Batch("w", 1, (RUN,)))
    store.set_state("r1", State.LOST, reason="silent for a minute")
    store.append("r1", Batch("w", 2, ()))
    assert store.run("r1").state is State.RUNNING and store.run("r1").state_reason == ""


def test_set_state_leaves_what_it_is_not_told(store: Store, clock: Any) -> None:
    store.create_run("r1", launched=True)
    store.set_state("r1", State.STARTING, pid=5, pid_started_at=1.5, host="box")
    run = store.set_state("r1", State.CRASHED, reason="killed", exit_code=-9)
    assert (run.pid, run.pid_started_at, run.host, run.exit_code, run.ended_at) == (5, 1.5, "box", -9, clock.now)
    assert store.set_state("r1", State.RUNNING).ended_at is None


def test_runs_are_listed_newest_first(store: Store, clock: Any) -> None:
    for number in range(3):
        clock.now += 1
        store.create_run(f"r{number}", project="a" if number else "b", config={"max_steps": 10})
    assert [run.id for run in store.runs()] == ["r2", "r1", "r0"]
    assert [run.id for run in store.runs(project="a", limit=1)] == ["r2"]
    store.set_state("r1", State.RUNNING)
    assert [run.id for run in store.runs(states=[State.RUNNING])] == ["r1"]
    assert [run.id for run in store.queued()] == ["r0", "r2"]
    again = store.create_run("r1", project="other")
    assert again.project == "a" and again.planned_steps == 10


def test_a_deleted_run_is_gone_whole(store: Store, new_writer: Callable[..., Any]) -> None:
    for run_id in ("r1", "r2"):
        new_writer(run_id)(RUN, metric(1), {"type": "sample", "step": 1, "text": "x"})
    store.delete_run("r1")
    with pytest.raises(UnknownRun):
        store.run("r1")
    with store._database.read() as connection:
        for table in ("blocks", "columns", "entries", "series", "key_sets", "writers"):
            with_one = connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar()
            assert with_one == (2 if table == "entries" else 1), table
    new_writer("r1")(RUN, metric(7))
    assert store.series("r1", "a").step.tolist() == [7]


def test_what_a_dead_process_left_does_not_bring_a_deleted_run_back(
    store: Store, new_writer: Callable[..., Any]
) -> None:
    left, named = new_writer(name="w-0123456789ab"), new_writer(name="mine")
    left(RUN, metric(1))
    named(metric(2))
    store.delete_run("r1")
    for batch in (Batch(left.name, 1, (RUN, metric(1))), Batch(left.name, 3, (metric(3),)), Batch(left.name, 3, ())):
        with pytest.raises(DeletedRun, match="'r1' was deleted"):
            store.append("r1", batch)
    assert store.runs() == []
    new_writer(name="mine")(RUN, metric(7))  # a name that somebody chose may begin again
    assert store.series("r1", "a").step.tolist() == [7]
    with pytest.raises(DeletedRun):
        store.append("r1", Batch(left.name, 3, (metric(3),)))
    store.delete_run("r1")
    new_writer(name="w-ba9876543210")(RUN, metric(8))
    assert store.series("r1", "a").step.tolist() == [8]


# -- summaries -------------------------------------------------------------------------------------------------------


def test_a_summary_holds_the_latest_numbers(store: Store) -> None:
    points = [metric(step, **{"train/loss": 5.0 - step, "val/loss": abs(step - 2) + 1.0}) for step in range(5)]
    store.append("r1", Batch("w", 1, (RUN, *points)))
    store.append(
        "r1", Batch("w", 7, (metric(5, **{"train/loss": math.nan, "val/loss": math.nan}), metric(6, lr=math.inf)))
    )
    summary = store.summary("r1")
    assert math.isnan(summary.latest["train/loss"]) and summary.latest["lr"] == math.inf
    assert (summary.best_val_loss, summary.best_val_step) == (1.0, 2)
    assert summary.sparkline[:5] == (5.0, 4.0, 3.0, 2.0, 1.0) and math.isnan(summary.sparkline[5])
    assert summary.run.last_step == 6
    assert [one.run.id for one in store.summaries()] == ["r1"]


def test_a_sparkline_keeps_the_order_of_losses_that_came_with_other_numbers(store: Store) -> None:
    points = [metric(step, loss=float(step), **({"val/loss": 1.0} if step % 3 == 0 else {})) for step in range(20)]
    store.append("r1", Batch("w", 1, (RUN, *points)))
    assert list(store.summary("r1").sparkline) == [float(step) for step in range(20)]


def test_other_trainers_names_count_too(store: Store) -> None:
    store.append("r1", Batch("w", 1, (RUN, metric(1, loss=3.0, eval_loss=2.5))))
    assert store.summary("r1").best_val_loss == 2.5 and store.summary("r1").sparkline == (3.0,)


def test_the_best_is_that_of_the_most_telling_validation_loss_whatever_row_it_stands_on(store: Store) -> None:
    def best() -> tuple[float | None, int | None]:
        summary = store.summary("r1")
        return summary.best_val_loss, summary.best_val_step

    store.append("r1", Batch("w", 1, (RUN, metric(1, loss=4.0), metric(1, test_loss=1.0))))
    assert best() == (1.0, 1)
    store.append("r1", Batch("w", 4, (metric(2, val_loss=3.0), metric(2, test_loss=0.5))))
    assert best() == (3.0, 2), "the curve that is drawn, as soon as there is one"
    store.append("r1", Batch("w", 6, (metric(3, test_loss=0.4), metric(4, val_loss=2.5), metric(5, val_loss=2.7))))
    assert best() == (2.5, 4)
    store.append("r1", Batch("w", 9, ({"type": "rewind", "step": 3, "time": 2e9}, metric(4, test_loss=0.1))))
    assert best() == (3.0, 2)


def test_a_sparkline_is_of_one_training_loss_also_where_another_stands_on_rows_of_its_own(store: Store) -> None:
    rows = [metric(step, **{"train/loss": float(step), "loss": 9.0}) for step in (1, 2)]
    store.append("r1", Batch("w", 1, (RUN, *rows, metric(2, batch_loss=7.0))))
    store.append("r1", Batch("w", 5, (metric(3, batch_loss=8.0), metric(3, **{"train/loss": 3.0}))))
    assert store.summary("r1").sparkline == (1.0, 2.0, 3.0)


def test_a_long_sparkline_stays_short_and_keeps_its_nan(store: Store) -> None:
    values = [math.nan if step == 1234 else 1.0 for step in range(5000)]
    store.append("r1", Batch("w", 1, (RUN, *[metric(step, loss=value) for step, value in enumerate(values)])))
    curve = store.summary("r1").sparkline
    assert 30 <= len(curve) <= 60 and sum(math.isnan(value) for value in curve) == 1


def test_a_new_process_without_a_start_time_does_not_keep_the_old_ones(store: Store) -> None:
    store.append("r1", Batch("w1", 1, ({"type": "run", "pid": 7, "pid_started_at": 5.5},)))
    store.append("r1", Batch("w2", 1, ({"type": "run", "pid": 8},)))
    run = store.run("r1")
    assert (run.pid, run.pid_started_at) == (8, None), "a mixed pair would make the living process look gone"
