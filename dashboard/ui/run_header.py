"""The head of the Run page: is it well, how far is it, what can be done. Pure: records in, components out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dash import html
from dash.development.base_component import Component

from dashboard.fixes import relaunchable
from dashboard.records import FindingRecord, LogLine, Run, RunSummary, State
from dashboard.roles import latest_of
from dashboard.ui import format as fmt
from dashboard.ui import parts, relaunch, theme
from dashboard.ui.curves import perplexity
from dashboard.ui.findings import worst_first

STOPPABLE = (State.QUEUED, State.STARTING, State.RUNNING, State.LOST)
COMMANDABLE = (State.RUNNING,)
LAST_LINES = 8
SHORTEST = 1.0
"""Seconds below which an ended run's length is not told: a log that was imported without times has none."""


def title(run: Run) -> Component:
    """Name, state, project and tags."""
    tags = [parts.text(tag, "rw-tag") for tag in (run.project, *run.tags[:8])]
    return html.Div([html.H1(html.Bdi(parts.run_name(run))), parts.state_badge(run), *tags], className="rw-run-title")


def verdict(run: Run, findings: Sequence[FindingRecord], *, has_loss: bool = True) -> Component:
    """The answer to "is it well?": the verdict in one word and the open findings by title."""
    look = parts.verdict_look(run)
    ordered = worst_first(findings)
    shown = [finding for finding in ordered if finding.status in ("open", "acknowledged")] or [
        finding
        for finding in ordered
        if finding.status == "resolved" and finding.severity != "info" and not finding.body.get("because")
    ]
    said: list[Component] = [html.Li(_finding_line(finding)) for finding in shown[:4]]
    if len(shown) > 4:
        said.append(html.Li(f"and {len(shown) - 4} more", className="rw-quiet"))
    return html.Div(
        [
            html.Div(parts.icon(look.icon), className="rw-verdict-icon"),
            html.Div(
                [
                    html.Div(_verdict_words(run, look), className="rw-verdict-word"),
                    html.Ul(said) if said else _calm(run, has_loss),
                ]
            ),
        ],
        className=f"rw-verdict rw-tone-{look.tone}",
        role="status",
    )


def _verdict_words(run: Run, look: theme.Look) -> str:
    if run.verdict == "unknown" and run.state in (State.QUEUED, State.STARTING):
        return "Waiting for the first points"
    return look.word


def _finding_line(finding: FindingRecord) -> list[Component | str]:
    look = theme.SEVERITIES.get(finding.severity, theme.SEVERITIES["info"])
    return [
        html.Span(parts.icon(look.icon), className=f"rw-ink-{look.tone}"),
        html.Span(fmt.visible(finding.title)),
        html.Span(f" ({finding.status})", className="rw-quiet")
        if finding.status in ("acknowledged", "resolved")
        else "",
    ]


def _calm(run: Run, has_loss: bool) -> Component:
    if run.state is State.CRASHED:
        if run.last_step is None:
            return html.P("It ended before its first point.", className="rw-quiet")
        return html.P("Until then no rule found anything wrong with its curves.", className="rw-quiet")
    says = {
        "healthy": "No rule finds anything wrong."
        if has_loss
        else "No rule finds anything wrong, but none of its series is known as a loss, and most rules need one.",
        "unknown": "The verdict comes with the first points.",
    }
    return html.P(says.get(run.verdict, ""), className="rw-quiet")


def story(run: Run, lines: Sequence[LogLine]) -> Component | None:
    """For a run that ended other than well, or still waits: what happened, in a sentence, with its last lines."""
    if run.state in (State.CRASHED, State.LOST):
        return _box("critical" if run.state is State.CRASHED else "warning", run, lines)
    if run.state in (State.QUEUED, State.STARTING, State.STOPPED, State.CANCELLED) or (
        run.state_reason and not run.state.ended
    ):
        return _box("quiet", run, ()) if run.state_reason else None
    return None


def _box(tone: str, run: Run, lines: Sequence[LogLine]) -> Component:
    look = theme.STATES[run.state.value]
    last = "\n".join(fmt.visible(line.text) for line in lines[-LAST_LINES:])
    return html.Div(
        [
            html.Div(
                [parts.icon(look.icon), html.Strong(look.word), html.Span(fmt.visible(run.state_reason))],
                className="rw-story-head",
            ),
            html.Pre(last, className="rw-log rw-log-short") if last else None,
        ],
        className=f"rw-story rw-tone-{tone}",
    )


def stats(summary: RunSummary, now: float) -> Component:
    """Progress, time left, losses and speed."""
    run, latest = summary.run, summary.latest
    loss = latest_of(latest, "train_loss")
    best = f"at step {fmt.steps(summary.best_val_step)}" if summary.best_val_step is not None else None
    return html.Div(
        [
            parts.stat("Progress", parts.progress(run), _timing(summary, now)),
            parts.stat("Training loss", fmt.loss(loss), _perplexity(loss), tone="" if _fine(loss) else "critical"),
            parts.stat("Best validation", fmt.loss(summary.best_val_loss), best),
            parts.stat("Speed", _speed(latest_of(latest, "tokens_per_second")), "tokens per second"),
            parts.stat("Age", parts.age(parts.began(run), now), _duration(run, now)),
        ],
        className="rw-stats",
    )


def _fine(value: float | None) -> bool:
    return value is None or abs(value) < float("inf")


def _perplexity(value: float | None) -> str | None:
    found = perplexity(value) if value is not None and _fine(value) else None
    return f"perplexity {fmt.number(found, 3)}" if found is not None else None


def _speed(value: float | None) -> str:
    return fmt.count(value) if value is not None else fmt.MISSING


def _timing(summary: RunSummary, now: float) -> Component | str | None:
    left = parts.time_left(summary)
    if left is not None:
        return f"about {fmt.duration(left)} left"
    if summary.run.last_event_at is None or summary.run.state.ended:
        return None
    return html.Span(["last heard ", parts.age(summary.run.last_event_at, now)])


def _duration(run: Run, now: float) -> str | None:
    length = (run.ended_at or now) - run.started_at if run.started_at is not None else 0.0
    if run.started_at is None or (run.state.ended and length < SHORTEST):
        return None
    return f"{'ran' if run.state.ended else 'running'} for {fmt.duration(length)}"


@dataclass(frozen=True, slots=True)
class Offers:
    """Which actions make sense now. The buttons themselves stay in the page: one that is made anew forgets its clicks."""

    command: bool
    stop: bool
    delete: bool

    @classmethod
    def of(cls, run: Run) -> Offers:
        """Only workers that this server started are known to take commands; a lost run of another can be given up."""
        stop = run.state in STOPPABLE if run.launched else run.state is State.LOST
        return cls(run.launched and run.state in COMMANDABLE, stop, run.state.ended)


def actions(run: Run) -> list[Component]:
    """The buttons; those without sense now are hidden. Relaunch leads to the form with the same settings."""
    offers = Offers.of(run)
    again = [parts.link_button("Relaunch", relaunch.address(run.id), "undo")] if relaunchable(run) else []
    return [
        *again,
        parts.button("Sample now", "run-sample", "quote", hidden=not offers.command),
        parts.button("Checkpoint now", "run-checkpoint", "save", hidden=not offers.command),
        parts.button("Stop", "run-stop", "stop", kind="danger", hidden=not offers.stop),
        parts.button("Delete", "run-delete", "trash", hidden=not offers.delete),
    ]
