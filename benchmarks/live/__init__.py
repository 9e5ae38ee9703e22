"""The live page measured: a real server, a process that logs, real browsers. `benchmarks/live_page.py` prints the tables."""
