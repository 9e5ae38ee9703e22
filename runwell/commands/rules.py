"""`runwell rules`: a list of what Runwell can see."""

from __future__ import annotations

import argparse
import json
from typing import Any


def add_parser(subparsers: Any) -> None:
    """Flags of `runwell rules`."""
    parser = subparsers.add_parser(
        "rules", help="list the rules", description="List the rules; `runwell explain RULE` says more."
    )
    parser.add_argument("--format", choices=("text", "json"), default="text")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print every rule with its usual severity and one line on what it sees."""
    from diagnostics import RULES

    if args.format == "json":
        rows = [
            {"id": rule.id, "severity": str(rule.severity), "summary": rule.summary, "options": rule.options}
            for rule in RULES
        ]
        print(json.dumps(rows, indent=2, ensure_ascii=False))
        return 0
    width = max(len(rule.id) for rule in RULES)
    for rule in RULES:
        print(f"{rule.id:<{width}}  {rule.severity:<8}  {rule.summary}")
    return 0
