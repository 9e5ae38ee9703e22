"""Numbers, durations, ages and untrusted text as a person reads them. Pure: no clock, no components, no store.

Non-finite numbers are words here ("NaN", "+Inf", "−Inf"): they are never blank and never zero.
"""

from __future__ import annotations

import html
import math
import unicodedata
from collections.abc import Mapping

MISSING = "–"
MINUS = "−"

_UNITS = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))
_BINARY = ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))


def number(value: float | None, digits: int = 4) -> str:
    """`value` with `digits` significant digits; very large and very small ones in powers of ten."""
    if value is None:
        return MISSING
    if not math.isfinite(value):
        return nonfinite(value)
    if value == 0:
        return "0"
    magnitude = abs(value)
    if magnitude >= 1e6 or magnitude < 1e-3:
        mantissa, _, exponent = f"{value:.{max(digits - 2, 0)}e}".partition("e")
        if "." in mantissa:
            mantissa = mantissa.rstrip("0").rstrip(".")
        return f"{mantissa}e{int(exponent)}".replace("-", MINUS)
    decimals = max(0, digits - 1 - math.floor(math.log10(magnitude)))
    return f"{value:,.{min(decimals, 6)}f}".replace("-", MINUS)


def nonfinite(value: float) -> str:
    """The word for a number that is not finite."""
    return "NaN" if math.isnan(value) else "+Inf" if value > 0 else f"{MINUS}Inf"


def loss(value: float | None) -> str:
    """A loss with four decimals while it is of ordinary size, so that columns line up."""
    if value is not None and math.isfinite(value) and 1e-3 <= abs(value) < 1000:
        return f"{value:.4f}".replace("-", MINUS)
    return number(value)


def count(value: float | None) -> str:
    """A count, exact below 10,000 and shortened above: 1,234 · 12.3k · 1.31M."""
    if value is None:
        return MISSING
    if not math.isfinite(value):
        return nonfinite(value)
    if abs(value) < 10_000:
        return f"{value:,.0f}".replace("-", MINUS)
    for size, unit in _UNITS:
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}".replace("-", MINUS)
    return f"{value:,.0f}"


def file_size(size: float) -> str:
    """A number of bytes in binary units."""
    for step, unit in _BINARY:
        if size >= step:
            return f"{size / step:.3g} {unit}"
    return f"{size:,.0f} B"


def duration(seconds: float | None) -> str:
    """A span of time in its two largest units: 45 s · 3 min 20 s · 2 h 5 min · 3 d 4 h."""
    if seconds is None or not math.isfinite(seconds) or seconds < 0:
        return MISSING
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    days, rest = divmod(whole, 86_400)
    hours, rest = divmod(rest, 3_600)
    minutes, left = divmod(rest, 60)
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (left, "s")]
    first = next(index for index, (amount, _) in enumerate(parts) if amount)
    return " ".join(f"{amount} {unit}" for amount, unit in parts[first : first + 2] if amount)


def age(then: float | None, now: float) -> str:
    """How long ago `then` was, roughly: just now · 3 min ago · 2 h ago · 5 d ago. Seconds since 1970."""
    if then is None:
        return MISSING
    seconds = max(0.0, now - then)
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit} ago"
    return "just now"


def plural(amount: int, noun: str) -> str:
    """`1 run`, `2 runs`."""
    return f"{amount:,} {noun}" if amount == 1 else f"{amount:,} {noun}s"


def steps(amount: int | None) -> str:
    """A step number with thousands separated."""
    return MISSING if amount is None else f"{amount:,}"


def window(first: int, last: int) -> str:
    """The steps of a finding: `step 120` or `steps 120–400`."""
    return f"step {first:,}" if first == last else f"steps {first:,}–{last:,}"


def visible(text: str) -> str:
    """`text` with control and direction-changing characters made visible, so that it cannot pose as other text.

    New lines and tabs stay; a right-to-left override becomes ⟨U+202E⟩.
    """
    return "".join(char if _harmless(char) else f"⟨U+{ord(char):04X}⟩" for char in text)


def _harmless(char: str) -> bool:
    # Cf holds the direction overrides but also the joiners that emoji and several scripts need.
    if char in "\n\t\u200c\u200d":
        return True
    return unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Co")


def for_plot(text: str) -> str:
    """Text for a plotly label: plotly reads pseudo-HTML and %{…} templates there, so neither may come through."""
    return html.escape(visible(text), quote=False).replace("%{", "%\u2060{")


def setting(value: object) -> str:
    """A config value as the user would type it; non-finite numbers by their word."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}" if math.isfinite(value) else nonfinite(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {setting(item)}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(setting(item) for item in value)
    return MISSING if value is None else visible(str(value))
