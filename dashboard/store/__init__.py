"""The store: every run, point, sample, line, finding and command, in SQLite or PostgreSQL. SQL stands in here alone."""

from dashboard.store.facade import Store

__all__ = ["Store"]
