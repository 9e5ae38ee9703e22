"""The rules: series in, findings out. Pure: no clock, no files, no network.

`Engine` judges one run; `RULES` is the table of what it can see; `verdict` puts findings into one word.
"""

from diagnostics.coverage import Coverage
from diagnostics.engine import Engine
from diagnostics.finding import Cause, Evidence, Finding, Remedy, Severity
from diagnostics.rule import HEADINGS, OptionError, Rule
from diagnostics.rules import BY_ID, RULES
from diagnostics.verdict import Verdict, verdict

__all__ = [
    "BY_ID",
    "HEADINGS",
    "RULES",
    "Cause",
    "Coverage",
    "Engine",
    "Evidence",
    "Finding",
    "OptionError",
    "Remedy",
    "Rule",
    "Severity",
    "Verdict",
    "verdict",
]
