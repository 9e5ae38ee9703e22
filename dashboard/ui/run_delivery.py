"""Whether all that a run reported has arrived: a few quiet words when it has, a notice that says what to do when not. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from dash import html
from dash.development.base_component import Component

from dashboard.receipts import WriterReceipt
from dashboard.ui import format as fmt
from dashboard.ui import parts

NEARLY_FULL_PERCENT = 80
LATE_SECONDS = 10.0
"""From here on a lag is worth a word: below it the next batch is on its way."""


def receipt(found: Sequence[WriterReceipt], dropped: int) -> Component | None:
    """The receipt of a run; `dropped` is what its record says was given up. None before anything came through the SDK."""
    if not found:
        return None
    notices = _notices(found, dropped)
    line = html.Details(
        [html.Summary(_in_short(found, calm=not notices)), html.Span(_numbers(found), className="rw-num")],
        className="rw-quiet rw-small", id="run-delivery",
    )  # fmt: skip
    if not notices:
        return line
    said = html.Div(
        [html.Div([parts.icon("triangle"), html.Strong("Delivery"), html.Span(" ".join(notices))], className="rw-story-head")],
        className="rw-story rw-tone-warning", role="status",
    )  # fmt: skip
    return html.Div([said, line])


def _in_short(found: Sequence[WriterReceipt], *, calm: bool) -> str:
    """What most readers want to know; the numbers behind it open with a click."""
    if not calm:
        return "Delivery in numbers"
    if any(one.behind for one in found):
        return "The newest records are on their way"
    refused = sum(one.refused for one in found)
    return f"Everything arrived, but {fmt.plural(refused, 'record')} refused" if refused else "Everything arrived"


def _numbers(found: Sequence[WriterReceipt]) -> str:
    lag = max(one.lag_seconds for one in found)
    counts = {
        "missing": sum(one.missing for one in found),
        "behind": sum(one.behind for one in found),
        "doubled": sum(one.duplicates for one in found),
        "refused": sum(one.refused for one in found),
    }
    ended = sum(one.ended_at is not None for one in found)
    over = f" ({ended} ended)" if 0 < ended < len(found) else ""
    writers = f"{fmt.plural(len(found), 'writer')}{over}, {sum(one.stored for one in found):,} records stored"
    return " · ".join([writers, *(f"{count:,} {word}" for word, count in counts.items()), f"lag {lag:.1f} s"])


def _notices(found: Sequence[WriterReceipt], dropped: int) -> list[str]:
    """What a person must know, in sentences, the gravest first."""
    said = []
    lost = max(dropped, sum(one.dropped for one in found))
    missing = sum(one.missing for one in found)
    fullest = max(one.spool_percent for one in found)
    behind, lag = sum(one.behind for one in found), max(one.lag_seconds for one in found)
    if lost:
        said.append(f"{lost:,} records were dropped, because the spool was full (RUNWELL_SPOOL_MIB).")
    if missing:
        said.append(
            f"{missing:,} records are missing: this store does not have them, and neither has the machine of the run."
        )
    if fullest >= NEARLY_FULL_PERCENT:
        said.append(f"The spool on the run's machine is {fullest}% full; when it is full, new records are dropped.")
    if lag >= LATE_SECONDS:
        said.append(
            f"{behind:,} records are on their way, the oldest for {fmt.duration(lag)}: the curves end before the run."
        )
    return said
