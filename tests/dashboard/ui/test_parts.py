"""Components: rows, badges, sparklines, cards and texts, from records."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
from dash.development.base_component import Component

from dashboard.records import FindingRecord, LogLine, Run, RunSummary, Sample, State
from dashboard.ui import findings, parts, query, rule_text, run_header, run_table, run_text, theme
from dashboard.ui.pages.run import TAB_NAMES
from diagnostics.examples import examples
from diagnostics.rules import RULES


def _run(run_id: str = "r", **more: Any) -> Run:
    return Run(
        **({"id": run_id, "project": "default", "name": run_id, "state": State.RUNNING, "created_at": 100.0} | more)
    )


def _summary(run: Run, **more: Any) -> RunSummary:
    fields = {"latest": {}, "best_val_loss": None, "best_val_step": None, "sparkline": (), "open_findings": ()}
    return RunSummary(run=run, **(fields | more))


def _finding(**more: Any) -> FindingRecord:
    fields = {"run_id": "r", "rule": "overfitting", "subject": "", "status": "open", "severity": "warning", "title": "Overfitting",
              "first_step": 10, "detected_step": 14, "last_step": 20, "opened_at": 0.0, "resolved_at": None, "body": {}}  # fmt: skip
    return FindingRecord(**(fields | more))


def _texts(component: Any) -> Iterator[str]:
    if isinstance(component, str):
        yield component
    elif isinstance(component, Component):
        yield from _texts(getattr(component, "children", None))
    elif isinstance(component, (list, tuple)):
        for item in component:
            yield from _texts(item)


def _text(component: Any) -> str:
    return " ".join(_texts(component))


def test_every_state_verdict_and_severity_has_a_look_with_a_word_and_a_shape() -> None:
    assert set(theme.STATES) == {state.value for state in State}
    assert set(theme.VERDICTS) == {"healthy", "info", "warning", "critical", "unknown"}
    for look in (
        *theme.STATES.values(),
        *theme.VERDICTS.values(),
        *theme.SEVERITIES.values(),
        *theme.STATUSES.values(),
    ):
        assert look.word and look.icon and look.tone


def test_a_crash_is_the_verdict_of_a_crashed_run() -> None:
    run = _run(state=State.CRASHED, verdict="healthy", state_reason="killed by SIGKILL", exit_code=-9)
    assert "Crashed" in _text(run_header.verdict(run, []))
    lines = [LogLine(number=index, time=0.0, stream="stderr", text=f"line {index}") for index in range(40)]
    story = _text(run_header.story(run, lines))
    assert "killed by SIGKILL" in story and "line 39" in story and "line 5\n" not in story


def test_a_nan_loss_is_said_in_the_table_and_in_the_header() -> None:
    summary = _summary(_run(), latest={"train/loss": math.nan}, sparkline=(3.0, 2.0, math.nan))
    row = run_table.row(summary, 200.0)
    assert "NaN" in _text(row) and "✕" in _text(row)
    assert "NaN" in _text(run_header.stats(summary, 200.0))


def test_a_sparkline_breaks_at_a_gap_and_survives_odd_input() -> None:
    assert parts.spark_svg((1.0, 2.0, math.nan, 1.5, 1.0)).count("M") == 4  # two areas, two lines
    for values in ((), (1.0,), (2.0, 2.0), (math.nan, math.inf)):
        assert parts.sparkline(values, "loss")


def test_search_filter_and_order() -> None:
    sick = _summary(
        _run("sick", verdict="critical", config={"learning_rate": 0.3}, created_at=1.0), latest={"train/loss": math.nan}
    )
    good = _summary(_run("good", verdict="healthy", created_at=2.0), latest={"train/loss": 2.0}, best_val_loss=2.1)
    done = _summary(_run("done", state=State.FINISHED, tags=("old",), created_at=3.0), latest={"train/loss": 1.0})
    everything = [sick, good, done]

    def ids(found: list[RunSummary]) -> list[str]:
        return [summary.run.id for summary in found]

    assert ids(run_table.matching(everything, "learning_rate=0.3", "all")) == ["sick"]
    assert ids(run_table.matching(everything, "OLD", "all")) == ["done"]
    assert ids(run_table.matching(everything, "", "active")) == ["sick", "good"]
    assert ids(run_table.matching(everything, "", "sick")) == ["sick"]
    assert ids(run_table.matching(everything, "", "ended")) == ["done"]
    assert ids(run_table.ordered(everything, "age")) == ["done", "good", "sick"]
    assert ids(run_table.ordered(everything, "loss")) == ["done", "good", "sick"]  # NaN is not the lowest
    assert ids(run_table.ordered(everything, "val"))[0] == "good"


def test_time_left_needs_a_plan_a_start_and_two_steps() -> None:
    run = _run(started_at=0.0, last_event_at=100.0, last_step=50, config={"max_steps": 200})
    assert parts.time_left(_summary(run)) == pytest.approx(300.0)
    assert (
        parts.time_left(_summary(_run(started_at=0.0, last_event_at=1.0, last_step=1, config={"max_steps": 9}))) is None
    )
    assert parts.time_left(_summary(_run(state=State.FINISHED, started_at=0.0))) is None


def test_a_log_that_counts_from_its_own_start_is_as_old_as_its_import() -> None:
    assert parts.began(_run(started_at=0.5, created_at=1.5e9)) == 1.5e9 == parts.began(_run(created_at=1.5e9))
    assert parts.began(_run(started_at=1.4e9, created_at=1.5e9)) == 1.4e9
    assert parts.age(0.5, 1.5e9) == "–" and "5 min ago" in _text(parts.age(1.5e9, 1.5e9 + 300))


def test_buttons_without_sense_are_hidden_but_there() -> None:
    for state in State:
        buttons = {one.id: one.hidden for one in run_header.actions(_run(state=state, launched=True))}
        assert set(buttons) == {"run-sample", "run-checkpoint", "run-stop", "run-delete"}
        assert buttons["run-stop"] == state.ended and buttons["run-delete"] != state.ended
    assert all(one.hidden for one in run_header.actions(_run(launched=False)))
    lost = {one.id: one.hidden for one in run_header.actions(_run(launched=False, state=State.LOST))}
    assert not lost["run-stop"] and lost["run-delete"], "nobody else can end it"


def test_a_finding_card_shows_evidence_causes_and_the_fix_as_code() -> None:
    body = {
        "evidence": [{"series": "val/loss", "window": [10, 20], "observed": "NaN", "limit": 2.0, "sentence": "It rose."}],
        "causes": [{"cause": "too little data", "why": "train is low"}],
        "remedies": [{"sentence": "Use dropout.", "patch": {"dropout": 0.1}, "checkpoint": 10}],
        "confidence": 0.9, "because": None,
    }  # fmt: skip
    said = _text(findings.card(_finding(body=body), None))
    for words in ("It rose.", "too little data", "train is low", "Use dropout.", "dropout = 0.1", "step 10", "90%"):
        assert words in said
    assert "first seen" not in said and "first seen at step 4" in _text(findings.card(_finding(detected_step=4), None))
    assert findings.evidence_window(_finding(body=body)) == ("val/loss", 10, 20)
    assert findings.evidence_window(_finding()) is None


def test_findings_are_ordered_by_what_to_act_on() -> None:
    cause = _finding(rule="non-finite-loss", severity="critical")
    effect = _finding(
        rule="divergence", severity="critical", first_step=1, body={"because": "non-finite-loss explains it"}
    )
    muted, info = _finding(status="muted", severity="critical"), _finding(severity="info")
    assert findings.worst_first([muted, effect, info, cause]) == [cause, info, effect, muted]


def test_coverage_says_why_a_rule_could_not_run() -> None:
    report = {
        "ran": ["plateau"],
        "skipped": {"overfitting": "no validation loss: log val/loss"},
        "failed": {"loss-spike": "ValueError"},
    }
    assert "no validation loss: log val/loss" in _text(findings.coverage(report))
    assert findings.coverage_line(report) == "1 rule ran, 1 could not, 1 failed"
    row = findings.coverage({"skipped": {"plateau": "log `val/loss`, please"}})
    assert "'log ', Code('val/loss'), ', please'" in str(row)
    assert "Nothing was checked yet" in _text(findings.coverage({}))


def test_names_that_do_not_say_it_themselves_are_told_as_what_they_were_read() -> None:
    read = {
        "roles": {"train_loss": "nll", "val_loss": "val/loss"},
        "rivals": {"train_loss": ["lm_loss"]},
        "unused": ["x"],
    }
    said = _text(findings.read_as({"read": read}))
    assert said == "Read: training loss ← nll (not lm_loss); by name val/loss; not used x"
    assert findings.read_as({"read": read | {"roles": {"val_loss": "val/loss"}, "rivals": {}}}) is None, "our own names"
    assert findings.read_as({"ran": []}) is None, "stored by an older version"


def test_a_run_without_a_loss_is_not_given_an_all_clear() -> None:
    run = _run("r", verdict="healthy")
    assert "none of its series is known as a loss" in _text(run_header.verdict(run, (), has_loss=False))
    assert "known as a loss" not in _text(run_header.verdict(run, ()))


@pytest.mark.parametrize(("ended", "said"), [(100.2, False), (101.5, True)])
def test_a_log_without_times_has_no_length(ended: float, said: bool) -> None:
    run = _run("r", state=State.FINISHED, started_at=100.0, ended_at=ended)
    assert ("ran for" in _text(run_header.stats(_summary(run), 200.0))) is said


def test_samples_keep_whitespace_and_tell_the_prompt_apart() -> None:
    shown = run_text.samples([Sample(step=1, time=0.0, prompt="def ", text="def f():\n\treturn  1\u202e"),
                              Sample(step=9, time=0.0, prompt="def ", text="x")])  # fmt: skip
    said = list(_texts(shown))
    assert "f():\n\treturn  1⟨U+202E⟩" in said
    assert said.index("step 9") < said.index("step 1")


def test_hostile_output_is_plain_text() -> None:
    line = LogLine(number=1, time=0.0, stream="stderr", text="<script>alert(1)</script>\x1b[31m")
    shown = run_text.output([line])
    assert "<script>alert(1)</script>⟨U+001B⟩[31m" in list(_texts(shown))
    assert "err " in list(_texts(shown))


def test_the_config_marks_what_was_changed() -> None:
    said = _text(run_text.config(_run(launched=True, config={"dropout": 0.2, "n_layer": 4, "their_own": math.inf})))
    assert said.count("changed") == 1 and "+Inf" in said


def test_queries_are_read_with_bounds() -> None:
    read = query.parse("?tab=samples&tab=config&x=%3Cb%3E&log=1")
    assert query.choice(read, "tab", TAB_NAMES, "curves") == "config"
    assert query.choice(read, "x", ("step", "tokens"), "step") == "step"
    assert query.flag(read, "log") and not query.flag(read, "nope")
    assert query.whole({"at": "12"}, "at", 0, 10, 5) == 10
    assert query.whole({"at": "-1"}, "at", 0, 10, 5) == 5


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_the_page_of_every_rule_is_laid_out_and_its_example_drawn(rule: Any) -> None:
    sections = rule.sections()
    for heading, text in sections.items():
        if heading != "Example":
            assert rule_text.blocks(text), heading
    for example in examples(rule).values():
        figure = rule_text.example_figure(example)
        drawn = sum(len(trace["x"]) for trace in figure["data"] if trace["meta"]["draws"] == "raw")
        assert drawn == sum(len(row) for row in example.series.values()) > 0


def test_rule_text_knows_paragraphs_lists_and_code() -> None:
    shown = rule_text.blocks("One `x`\nline.\n\n- first\n  goes on\n- second\n\n1. one\n2. two\n\n    code = 1")
    assert [type(block).__name__ for block in shown] == ["P", "Ul", "Ol", "Pre"]
    assert _text(shown[1]) == "first goes on second"


def test_what_no_curve_shows_of_an_example_stands_beside_it() -> None:
    rules = {rule.id: rule.sections()["Example"] for rule in RULES}
    assert "clock: 2000" in rule_text.undrawn(rules["stalled-run"], "Fires")
    assert "clock: 300" in rule_text.undrawn(rules["stalled-run"], "Silent")
    assert rule_text.undrawn(rules["poor-data"], "Fires").startswith("data: train_tokens=3600 ")
