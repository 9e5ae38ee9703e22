"""`runwell train …`: run the trainer in the foreground, with a flag for every setting."""

from __future__ import annotations

import argparse
from typing import Any


def add_parser(subparsers: Any) -> None:
    """Only hands over: the trainer's own parser knows the settings."""
    parser = subparsers.add_parser(
        "train", help="train a model in the foreground (`runwell train --help` lists every setting)", add_help=False
    )
    parser.set_defaults(run=run, passes_rest=True)


def run(args: argparse.Namespace) -> int:
    """Run the trainer with the rest of the command line; its exit status."""
    from trainer.main import main

    return main(args.rest, prog="runwell train")
