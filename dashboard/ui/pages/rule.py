"""`/rules/<id>`: the page of one rule, which is its docstring, with its example drawn. No callbacks.

The text is our own code's, under fixed headings (`diagnostics.rule.HEADINGS`); it is laid out by `dashboard.ui.rule_text`.
"""

from __future__ import annotations

import dash
from dash import dcc, html
from dash.development.base_component import Component

from dashboard.services import Services
from dashboard.ui import format as fmt
from dashboard.ui import parts, rule_text
from dashboard.ui.query import Query
from diagnostics.examples import examples
from diagnostics.rule import Rule
from diagnostics.rules import RULES

PATH = "/rules/{rule_id}"
TITLE = "Rule"


def layout(services: Services, query: Query, rule_id: str) -> Component:
    """The rule's page, or what to do when there is no such rule."""
    rule = next((rule for rule in RULES if rule.id == rule_id), None)
    if rule is None:
        return parts.empty(
            "slash", "There is no such rule", f"No rule is called {fmt.visible(rule_id)}.",
            parts.link_button("All rules", "/rules", "book", kind="primary"),
        )  # fmt: skip
    sections = rule.sections()
    body = [_section(heading, text) for heading, text in sections.items() if heading != "Example"]
    return html.Div(
        [
            dcc.Link([parts.icon("back"), "All rules"], href="/rules", className="rw-back"),
            parts.page_header(rule.id, rule.summary, parts.severity_badge(rule.severity.value)),
            html.Div(
                [html.Div(body, className="rw-prose"), html.Aside(_example(rule, sections.get("Example", "")))],
                className="rw-launch",
            ),
            parts.live("rule", [], epoch=str(services.hub.epoch), since=services.hub.seq),
        ]
    )


def _section(heading: str, text: str) -> Component:
    return html.Section([html.H2(heading), *rule_text.blocks(text)])


def _example(rule: Rule, text: str) -> list[Component]:
    cards = []
    for title, example in examples(rule).items():
        drawing = parts.plot(rule_text.example_figure(example), still=True)
        beside = rule_text.undrawn(text, title)
        said = [html.P("And beside the curve:", className="rw-small rw-quiet"), html.Pre(beside, className="rw-patch")]
        cards.append(parts.card([drawing, *(said if beside else ())], title=title))
    return [*cards, parts.card(html.Pre(text, className="rw-patch"), title="The example's numbers")]


def register(app: dash.Dash, services: Services) -> None:
    """This page has no callbacks."""
