"""Load and faults on purpose: `python -m benchmarks.soak` (or `make soak`) says what was held and what was lost."""
