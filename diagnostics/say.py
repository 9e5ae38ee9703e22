"""Numbers as people read them, for titles and evidence. Knows nothing else."""

from __future__ import annotations

import math


def number(value: float) -> str:
    """Three significant digits, thousands whole and separated; NaN, Inf and -Inf by name."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Inf" if value > 0 else "-Inf"
    if value != 0 and (abs(value) >= 1e6 or abs(value) < 1e-3):
        return f"{value:.2e}"
    if abs(value) >= 9999.5:
        return f"{value:,.0f}"
    return f"{value:.4g}" if abs(value) >= 100 else f"{value:.3g}"


def step(value: int) -> str:
    """A step with thousands separated."""
    return f"{value:,}"


def percent(share: float) -> str:
    """0.034 → "3.4 %"; whole numbers from 10 on."""
    return f"{100 * share:.0f} %" if abs(share) >= 0.0995 else f"{100 * share:.2g} %"


def duration(seconds: float) -> str:
    """41 → "41 s", 3,660 → "61 minutes", a day and more in hours."""
    if seconds < 120:
        return f"{seconds:.3g} s"
    minutes = seconds / 60
    return f"{minutes:.0f} minutes" if minutes < 180 else f"{minutes / 60:.1f} hours"
