"""The subcommands of `runwell`: one module each, with `add_parser(subparsers)` and `run(args) -> int`.

Modules import only the standard library at their top; what a command needs beyond it is imported where it runs,
so that `runwell --help` is quick and works without the extras.
"""
