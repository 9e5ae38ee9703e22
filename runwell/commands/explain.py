"""`runwell explain RULE`: one rule's page in the terminal."""

from __future__ import annotations

import argparse
import difflib
import sys
from typing import Any


def add_parser(subparsers: Any) -> None:
    """Flags of `runwell explain`."""
    parser = subparsers.add_parser("explain", help="what a rule means, how it sees, and what to do")
    parser.add_argument("rule", metavar="RULE", help="a rule's id, as `runwell rules` lists it")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the rule's page."""
    from diagnostics import BY_ID
    from diagnostics.docs import rule_page

    rule = BY_ID.get(args.rule)
    if rule is None:
        near = difflib.get_close_matches(args.rule, BY_ID, n=1)
        hint = f"did you mean {near[0]}?" if near else f"rules are: {', '.join(BY_ID)}"
        print(f"runwell explain: no rule is called {args.rule!r}; {hint}", file=sys.stderr)
        return 2
    print(rule_page(rule, level=1))
    return 0
