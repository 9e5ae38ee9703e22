"""Write the generated pages of docs/ from the code that defines what they describe.

Run: `make docs` (or `python docs/generate.py`). `tests/test_docs.py` fails when a page is older than its source.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

DOCS = Path(__file__).parent
NOTE = "<!-- Made by `make docs` from {source}; edit that. -->\n\n"


def settings_page() -> str:
    """Every setting of a run: flag, default, allowed values, meaning."""
    from trainer.config import settings
    from trainer.presets import PRESETS

    lines = [NOTE.format(source="trainer/config.py and trainer/presets.py"), "# Settings of a run\n\n"]
    lines += ["The Launch page, `runwell train` and the HTTP API take the same settings under the same names.\n\n"]
    lines += ["| setting | flag | default | allowed | meaning |\n|---|---|---|---|---|\n"]
    for item in settings():
        default = f"`{item.default}`" if item.default != "" else "empty"
        lines.append(f"| `{item.name}` | `{item.flag}` | {default} | {_cell(item.allowed)} | {_cell(item.help)} |\n")
    lines.append("\n# Presets\n\n| preset | what for | changes to the defaults |\n|---|---|---|\n")
    for preset in PRESETS:
        changes = ", ".join(f"{name} {value}" for name, value in preset.changes.items())
        lines.append(f"| `{preset.name}` | {_cell(preset.note)} | {changes} |\n")
    return "".join(lines)


def metrics_page() -> str:
    """Every metric that the trainer logs: unit, role, meaning."""
    from runwell.metrics import METRICS

    rows = "".join(f"| `{m.name}` | {m.label} | {m.unit or '–'} | `{m.role}` | {_cell(m.meaning)} |\n" for m in METRICS)
    head = "# Metrics\n\n| metric | shown as | unit | role | meaning |\n|---|---|---|---|---|\n"
    return NOTE.format(source="runwell/metrics.py") + head + rows


def commands_page() -> str:
    """Every subcommand with its help text."""
    from runwell.cli import build_parser
    from trainer.main import build_parser as trainer_parser

    os.environ["COLUMNS"] = "110"  # argparse wraps to the terminal; the page must not depend on it
    parser = build_parser()
    action = next(a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    parts = [NOTE.format(source="runwell/commands/"), "# The command line\n"]
    for name, sub in action.choices.items():
        shown = trainer_parser("runwell train") if name == "train" else sub
        parts.append(f"\n## runwell {name}\n\n```text\n{shown.format_help().rstrip()}\n```\n")
    return "".join(parts)


def rules_page() -> str:
    """Every rule, as `runwell explain` prints it."""
    from diagnostics.docs import page

    return page()


PAGES = {
    "settings.md": settings_page,
    "metrics.md": metrics_page,
    "commands.md": commands_page,
    "rules.md": rules_page,
}


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    for name, make in PAGES.items():
        (DOCS / name).write_text(make())
        print(f"wrote docs/{name}")
