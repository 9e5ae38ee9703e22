"""Every table of the store, as SQLAlchemy Core sees it. Nothing here knows how the tables are filled or read.

Points are packed: a *block* is up to a few thousand consecutive log() calls of one writer that named the same metrics
(its *key set*); the block holds their steps, times and arrival numbers once, and one *column* a metric holds the values.
NaN lives in blobs only, because SQLite would turn it into NULL in a number column; number columns hold finite values.
JSON texts are written by Python with bare NaN and Infinity, which its own reader gives back as the same floats.
"""

from __future__ import annotations

import sqlalchemy as sa

metadata = sa.MetaData()

# SQLite gives out row ids by itself only for a column declared exactly INTEGER; PostgreSQL needs 64 bits said.
Key = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Real: sa.types.TypeEngine[float] = sa.Double()

schema_version = sa.Table(
    "schema_version",
    metadata,
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("applied_at", Real, nullable=False),
)

runs = sa.Table(
    "runs",
    metadata,
    sa.Column("key", Key, primary_key=True, autoincrement=True),
    sa.Column("id", sa.Text, nullable=False, unique=True),
    sa.Column("project", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("state_reason", sa.Text, nullable=False, default=""),
    sa.Column("tags", sa.Text, nullable=False, default="[]"),
    sa.Column("config", sa.Text, nullable=False, default="{}"),
    sa.Column("parent_id", sa.Text),
    sa.Column("created_at", Real, nullable=False),
    sa.Column("started_at", Real),
    sa.Column("ended_at", Real),
    sa.Column("last_event_at", Real),
    sa.Column("last_step", sa.BigInteger),
    sa.Column("launched", sa.Boolean, nullable=False, default=False),
    sa.Column("pid", sa.BigInteger),
    sa.Column("pid_started_at", Real),
    sa.Column("host", sa.Text, nullable=False, default=""),
    sa.Column("exit_code", sa.BigInteger),
    sa.Column("verdict", sa.Text, nullable=False, default="unknown"),
    # -- kept up to date by append(), so that the list of runs reads one row a run -----------------------------------
    sa.Column("arrivals", sa.BigInteger, nullable=False, default=0),  # number of the newest event
    sa.Column("generation", sa.Integer, nullable=False, default=0),  # how many rewinds there were
    sa.Column("best_val_loss", Real),  # finite values only
    sa.Column("best_val_step", sa.BigInteger),
    sa.Column("latest", sa.Text, nullable=False, default="{}"),  # {series: [step, value]}
    sa.Column("sparkline", sa.Text, nullable=False, default="[1, 0, []]"),  # see sparkline.py
    sa.Index("runs_newest", "created_at"),
    sa.Index("runs_by_state", "state"),
    sqlite_autoincrement=True,  # a deleted run's key is never given out again
)


def _run_key(**kwargs: bool) -> sa.Column[int]:
    return sa.Column("run_key", Key, sa.ForeignKey("runs.key", ondelete="CASCADE"), nullable=False, **kwargs)  # type: ignore[arg-type]


writers = sa.Table(
    "writers",
    metadata,
    sa.Column("key", Key, primary_key=True, autoincrement=True),
    _run_key(),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("stored_through", sa.BigInteger, nullable=False, default=0),
    sa.Column("generation", sa.Integer, nullable=False, default=0),
    sa.Column("refused", sa.BigInteger, nullable=False, default=0),
    sa.Column("duplicates", sa.BigInteger, nullable=False, default=0),
    sa.Column("last_contact_at", Real),
    sa.Column("forked", sa.Boolean),  # this and the next two: see records.WriterRecord
    sa.Column("ended_at", Real),
    sa.Column("said", sa.Text),
    sa.UniqueConstraint("run_key", "name"),
)

deleted_writers = sa.Table(  # who wrote runs that were deleted: what such a process left must not bring the run back
    "deleted_writers",
    metadata,
    sa.Column("run_id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("deleted_at", Real, nullable=False),
)

generations = sa.Table(
    "generations",
    metadata,
    _run_key(primary_key=True),
    sa.Column("generation", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("step", sa.BigInteger, nullable=False),  # earlier generations are hidden after this step
    sa.Column("time", Real, nullable=False),
)

series = sa.Table(
    "series",
    metadata,
    sa.Column("key", Key, primary_key=True, autoincrement=True),
    _run_key(),
    sa.Column("name", sa.Text, nullable=False),
    sa.UniqueConstraint("run_key", "name"),
)

key_sets = sa.Table(
    "key_sets",
    metadata,
    sa.Column("key", Key, primary_key=True, autoincrement=True),
    _run_key(),
    sa.Column("digest", sa.Text, nullable=False),  # of series_keys: an index cannot hold a list of thousands
    sa.Column("series_keys", sa.Text, nullable=False),  # JSON list, in the order that the writer named them
    sa.UniqueConstraint("run_key", "digest"),
)

blocks = sa.Table(
    "blocks",
    metadata,
    sa.Column("key", Key, primary_key=True, autoincrement=True),
    _run_key(),
    sa.Column("writer_key", Key, sa.ForeignKey("writers.key", ondelete="CASCADE"), nullable=False),
    sa.Column("key_set", Key, sa.ForeignKey("key_sets.key", ondelete="CASCADE"), nullable=False),
    sa.Column("generation", sa.Integer, nullable=False),
    sa.Column("level", sa.Integer, nullable=False),  # how often merged; see points.FULL
    sa.Column("rows", sa.Integer, nullable=False),
    sa.Column("first_arrival", sa.BigInteger, nullable=False),
    sa.Column("last_arrival", sa.BigInteger, nullable=False),
    sa.Column("first_step", sa.BigInteger, nullable=False),  # smallest
    sa.Column("last_step", sa.BigInteger, nullable=False),  # largest
    sa.Column("last_time", Real, nullable=False),  # of the newest row at the largest step
    sa.Column("arrivals", sa.LargeBinary, nullable=False),
    sa.Column("steps", sa.LargeBinary, nullable=False),
    sa.Column("times", sa.LargeBinary, nullable=False),
    sa.Index("blocks_by_arrival", "run_key", "last_arrival"),
    sa.Index("blocks_to_merge", "writer_key", "key_set", "generation", "level"),
)

columns = sa.Table(
    "columns",
    metadata,
    # The aggregates stand before the blob: SQLite then answers from a row's first page without reading the values.
    sa.Column(
        "series_key", Key, sa.ForeignKey("series.key", ondelete="CASCADE"), primary_key=True, autoincrement=False
    ),
    sa.Column("block_key", Key, sa.ForeignKey("blocks.key", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    sa.Column("nonfinite", sa.Integer, nullable=False),
    sa.Column("lowest", Real),  # NULL when no value is finite
    sa.Column("highest", Real),
    sa.Column("mean", Real),
    sa.Column("lowest_step", sa.BigInteger),
    sa.Column("highest_step", sa.BigInteger),
    sa.Column("last", sa.LargeBinary, nullable=False),  # eight bytes, so that NaN stays NaN
    sa.Column("data", sa.LargeBinary, nullable=False),
    sa.Index("columns_by_block", "block_key"),
)

outlines = sa.Table(  # where the pieces of a full block lie; see pieces.py
    "outlines",
    metadata,
    sa.Column("block_key", Key, sa.ForeignKey("blocks.key", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
)

digests = sa.Table(  # what a column's values are in each piece; apart from the values, so that they lie close together
    "digests",
    metadata,
    sa.Column(
        "series_key", Key, sa.ForeignKey("series.key", ondelete="CASCADE"), primary_key=True, autoincrement=False
    ),
    sa.Column("block_key", Key, sa.ForeignKey("blocks.key", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Index("digests_by_block", "block_key"),
)

entries = sa.Table(
    "entries",
    metadata,
    _run_key(primary_key=True),
    sa.Column("arrival", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("generation", sa.Integer, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("step", sa.BigInteger),
    sa.Column("time", Real, nullable=False),
    sa.Column("body", sa.Text, nullable=False),  # the whole event
    sa.Index("entries_by_kind", "run_key", "kind", "arrival"),
)

newest_alerts = sa.Index(  # of what scripts told in all runs: few among millions of output lines
    "entries_newest_alerts", entries.c.time, entries.c.arrival,
    sqlite_where=entries.c.kind == "alert", postgresql_where=entries.c.kind == "alert",
)  # fmt: skip

findings = sa.Table(
    "findings",
    metadata,
    _run_key(primary_key=True),
    sa.Column("rule", sa.Text, primary_key=True),
    sa.Column("subject", sa.Text, primary_key=True),
    sa.Column(
        "decision", sa.Text, nullable=False, default="open"
    ),  # what a person said: open, acknowledged, muted, resolved
    sa.Column("severity", sa.Text, nullable=False),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("first_step", sa.BigInteger, nullable=False),
    sa.Column("detected_step", sa.BigInteger, nullable=False),
    sa.Column("last_step", sa.BigInteger, nullable=False),
    sa.Column("opened_at", Real, nullable=False),
    sa.Column("resolved_at", Real),
    sa.Column("body", sa.Text, nullable=False),
    sa.Index("findings_newest", "opened_at"),
)

coverage = sa.Table(
    "coverage",
    metadata,
    _run_key(primary_key=True),
    sa.Column("body", sa.Text, nullable=False),
)

commands = sa.Table(
    "commands",
    metadata,
    sa.Column("id", Key, primary_key=True, autoincrement=True),
    _run_key(),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("args", sa.Text, nullable=False),
    sa.Column("created_at", Real, nullable=False),
    sa.Column("acknowledged_at", Real),
    sa.Column("outcome", sa.Text, nullable=False, default=""),
    sa.Index("commands_by_run", "run_key", "acknowledged_at"),
    sqlite_autoincrement=True,  # a worker knows a command by its number, so no number is used twice
)
