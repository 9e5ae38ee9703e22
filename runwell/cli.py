"""The command line: `runwell COMMAND …`. Builds the parser from one list of commands and turns errors into sentences.

Exit status: 0 done, 1 failed, 2 bad input; `diagnose` has its own (see `runwell diagnose --help`). Not to be imported
by other packages.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import io
import os
import re
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import NoReturn

from runwell.home import SettingError

COMMANDS = (
    "up", "demo", "train", "runs", "stop", "rules", "explain", "export", "import", "sql", "backup", "prune", "replay",
    "diagnose", "watch", "sync",
)  # fmt: skip
"""Every subcommand, in the order of `runwell --help`."""

MODULES = {name: f"runwell.commands.{name}" for name in COMMANDS} | {"import": "runwell.commands.importing"}
"""Where each is; no module can be called `import`."""


EXTRAS = {
    "fastapi": "server",
    "dash": "server",
    "sqlalchemy": "server",
    "numpy": "server",
    "torch": "trainer",
    "pyarrow": "parquet",
}


BAD_INPUT = {"diagnose": 3, "watch": 3}
"""Exit statuses of commands for which 2 is an answer: a flag that was typed wrongly must not look like a critical run."""


class _Parser(argparse.ArgumentParser):
    """Ends with the command's own exit status for bad input, and names what a mistyped command may have meant."""

    def error(self, message: str) -> NoReturn:
        typed = re.match(r"argument COMMAND: invalid choice: '(.*?)' ", message)
        meant = difflib.get_close_matches(typed[1], COMMANDS, 1) if typed else []
        command = self.prog.rpartition(" ")[2]
        self.print_usage(sys.stderr)
        self.exit(
            BAD_INPUT.get(command, 2), f"{self.prog}: {message}{f'; did you mean {meant[0]}?' if meant else ''}\n"
        )


def build_parser() -> argparse.ArgumentParser:
    """The whole parser; each command module adds its own part."""
    parser = _Parser(
        prog="runwell", description="Watches training runs, says what is wrong and why, and helps put it right."
    )
    parser.add_argument("--version", action="version", version=f"runwell {_version()}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in COMMANDS:
        importlib.import_module(MODULES[name]).add_parser(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    _spell_everything()
    args, rest = build_parser().parse_known_args(argv)
    if rest and not getattr(args, "passes_rest", False):
        # parse_args() would say only "unrecognized arguments": name the command, whose --help lists what there is.
        print(
            f"runwell {args.command}: unknown argument {rest[0]!r}; see `runwell {args.command} --help`",
            file=sys.stderr,
        )
        return BAD_INPUT.get(args.command, 2)
    args.rest = rest
    try:
        return int(args.run(args))
    except KeyboardInterrupt:
        return 130
    except SettingError as error:
        print(f"runwell {args.command}: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # `runwell runs | head`: the reader has gone; a traceback would help nobody.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except ModuleNotFoundError as error:
        extra = EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        print(f"runwell {args.command} needs {error.name}: pip install 'runwell[{extra}]'", file=sys.stderr)
        return 1


def _spell_everything() -> None:
    """A terminal of few characters gets question marks for curves and arrows, not a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _version() -> str:
    try:
        return version("runwell")
    except PackageNotFoundError:
        return "0 (not installed)"


if __name__ == "__main__":
    sys.exit(main())
