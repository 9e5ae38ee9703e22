"""The look in numbers: Mantine's theme, the colours of curves, and what each severity and state looks like.

Colours of the surfaces stand in assets/10-tokens.css, because they change with the colour scheme; those here are of one
middle brightness that reads on light and on dark alike, so that a change of scheme redraws nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

MANTINE: dict[str, Any] = {
    "primaryColor": "indigo",
    "primaryShade": {"light": 6, "dark": 5},
    "defaultRadius": "md",
    "fontFamily": "var(--rw-font)",
    "fontFamilyMonospace": "var(--rw-mono)",
    "headings": {"fontFamily": "var(--rw-font)", "fontWeight": "620"},
    "cursorType": "pointer",
    "focusRing": "auto",
    "respectReducedMotion": True,
}

TRAIN = "#5b7cfa"
VALIDATION = "#f08c2e"
GRADIENT = "#2ba88c"
RATE = "#a674e8"
SPEED = "#3d9fd6"
OTHER = "#7f8fa9"
ALARM = "#e5484d"
LIMIT = "#8a94a6"


@dataclass(frozen=True, slots=True)
class Look:
    """How a severity, a verdict or a state is shown. `icon` names a shape of assets/30-icons.css: colour is never alone."""

    word: str
    icon: str
    tone: str


SEVERITIES: dict[str, Look] = {
    "critical": Look("Critical", "octagon", "critical"),
    "warning": Look("Warning", "triangle", "warning"),
    "info": Look("Info", "info", "info"),
}
SEVERITY_ORDER = ("critical", "warning", "info")
SEVERITY_COLORS = {"critical": "#e5484d", "warning": "#d98a0b", "info": "#3d8bd6"}

VERDICTS: dict[str, Look] = {
    "healthy": Look("Healthy", "check", "good"),
    "info": Look("Healthy, with a note", "info", "info"),
    "warning": Look("Needs attention", "triangle", "warning"),
    "critical": Look("Sick", "octagon", "critical"),
    "unknown": Look("No data yet", "dots", "quiet"),
}

STATES: dict[str, Look] = {
    "queued": Look("Queued", "clock", "quiet"),
    "starting": Look("Starting", "clock", "live"),
    "running": Look("Running", "play", "live"),
    "lost": Look("Lost contact", "cloud-off", "warning"),
    "finished": Look("Finished", "flag", "quiet"),
    "stopped": Look("Stopped", "stop", "quiet"),
    "crashed": Look("Crashed", "bolt", "critical"),
    "cancelled": Look("Cancelled", "slash", "quiet"),
}

STATUSES: dict[str, Look] = {
    "open": Look("Open", "circle", "info"),
    "acknowledged": Look("Acknowledged", "check", "quiet"),
    "muted": Look("Muted", "mute", "quiet"),
    "resolved": Look("Resolved", "flag", "good"),
}
