"""Relaunches as a reader meets them: the way to one, the diff above the form, a run's family, what became of a fix. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlencode

from dash import dcc, html
from dash.development.base_component import Component

from dashboard.fixes import Change, Child
from dashboard.outcomes import Outcome, Status
from dashboard.records import FindingRecord, Run
from dashboard.ui import compare, parts, theme
from dashboard.ui import format as fmt

SHOWN_CHILDREN = 5
LOOKS = {
    Status.FIXED: theme.Look("Fixed", "check", "good"),
    Status.NOT_FIXED: theme.Look("Not fixed", "octagon", "critical"),
    Status.WAITING: theme.Look("Too early", "clock", "quiet"),
    Status.UNKNOWN: theme.Look("Unknown", "slash", "quiet"),
}


def address(run_id: str, finding: FindingRecord | None = None, remedy: int = 0) -> str:
    """The Launch page filled with a run's settings, and with a remedy (1 is the first) of one of its findings."""
    query = {"from": run_id}
    if finding is not None:
        query |= {"rule": finding.rule, "remedy": str(remedy)}
        query |= {"subject": finding.subject} if finding.subject else {}
    return "/launch?" + urlencode(query)


def fix_button(finding: FindingRecord, remedy: int) -> Component:
    """To the Launch page, with this remedy filled in."""
    return html.Div(
        parts.link_button("Relaunch with this fix", address(finding.run_id, finding, remedy), "rocket"),
        className="rw-fix-button",
    )


def notice(parent: Run, notes: Sequence[str], changes: Sequence[Change], diff_id: str) -> Component:
    """What stands above the form of a relaunch: whose settings these are, what differs, what was left out of the remedy."""
    said = [html.Li(fmt.visible(note)) for note in notes]
    head = [
        html.Div(
            ["These are the settings of ", dcc.Link(parts.run_name(parent), href=f"/run/{parent.id}"), "."],
        ),
        html.A("Start from a preset instead", href="/launch", className="rw-code-link"),
    ]
    return parts.card(
        [
            html.Div(head, className="rw-facts"),
            html.Div(diff(changes), id=diff_id),
            html.Ul(said, className="rw-list rw-small rw-relaunch-notes") if said else None,
        ],
        title="Relaunch",
        class_name="rw-relaunch",
    )


def refusal(sentence: str) -> Component:
    """Why the address does not lead to a relaunch."""
    look = theme.Look("Not a relaunch", "triangle", "warning")
    text = html.Div([parts.badge(look), html.Span(fmt.visible(sentence))], className="rw-facts")
    return parts.card(text, class_name="rw-relaunch")


def diff(changes: Sequence[Change]) -> Component:
    """One line a setting: its name, the old value struck out, the new one."""
    if not changes:
        return html.P("Nothing differs from it yet.", className="rw-quiet rw-small")
    rows = [
        html.Div(
            [
                html.Code(change.name, className="rw-diff-name"),
                html.Del(_value(change.old)),
                html.Span("→", className="rw-quiet", **{"aria-label": "becomes"}),
                html.Ins(_value(change.new)),
            ],
            className="rw-diff-row",
        )
        for change in changes
    ]
    return html.Div(rows, className="rw-diff", role="group", **{"aria-label": "What differs from the run before"})


def _value(value: object) -> str:
    return fmt.setting(value) or "(empty)"


def words(changes: Sequence[Change] | None) -> str:
    """`with learning_rate 1 → 0.1, dropout 0 → 0.1`, or that nothing was changed."""
    if changes is None:
        return ""
    if not changes:
        return "with the same settings"
    shown = [f"{change.name} {_value(change.old)} → {_value(change.new)}" for change in changes[:4]]
    rest = [f"{len(changes) - 4} more"] if len(changes) > 4 else []
    return "with " + ", ".join(shown + rest)


def lineage(
    run: Run, parent: Run | None, changes: Sequence[Change] | None, children: Sequence[Child]
) -> Component | None:
    """The line of the family under a run's name: what it is a relaunch of, and what was made of it."""
    lines = []
    if run.parent_id:
        lines.append(
            html.Div(
                [
                    "a relaunch of ",
                    _ancestor(run.parent_id, parent),
                    f" {words(changes)} ",
                    _beside(parent.id, run.id) if parent else None,
                ]
            )
        )
    lines += [
        html.Div(
            [
                "relaunched as ",
                _link(child.run),
                f" {words(child.changes)}",
                parts.badge(parts.verdict_look(child.run)),
                " ",
                _beside(run.id, child.run.id),
            ]
        )
        for child in children[:SHOWN_CHILDREN]
    ]
    if len(children) > SHOWN_CHILDREN:
        lines.append(html.Div(f"and {len(children) - SHOWN_CHILDREN:,} earlier"))
    return html.Div(lines, className="rw-lineage rw-quiet") if lines else None


def _ancestor(parent_id: str, parent: Run | None) -> Component:
    return _link(parent) if parent else html.Span([parts.text(parent_id), " (not kept any more)"])


def _beside(parent_id: str, child_id: str) -> Component:
    return dcc.Link("compare", href=compare.address([parent_id, child_id]))


def _link(run: Run) -> Component:
    # Relaunches often share a name; the id tells them apart.
    return dcc.Link([html.Bdi(parts.run_name(run)), " ", html.Code(run.id)], href=f"/run/{run.id}")


def outcome_list(found: Sequence[Outcome]) -> Component | None:
    """What the relaunches say of one finding, each a badge and a sentence that leads to the run."""
    rows = [
        html.Li([parts.badge(LOOKS[one.status]), dcc.Link(fmt.visible(one.sentence), href=f"/run/{one.run_id}")])
        for one in found[:SHOWN_CHILDREN]
    ]
    return html.Ul(rows, className="rw-outcomes", **{"aria-label": "What became of its fixes"}) if rows else None
