"""Opens the store that a command line means: the one of a home, as its server would, and never a new one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dashboard.errors import StoreError
from dashboard.settings import Settings
from dashboard.store.facade import Store


@contextmanager
def open_existing(home: str | None) -> Iterator[Store]:
    """The store at `home` or where the environment says. Raises StoreError when there is none, SettingsError."""
    url = Settings.read(home=home).database_url
    if "://" not in url and not Path(url).exists():
        # Opening it would make an empty one.
        raise StoreError(f"there is no store at {url}; say where it lies with --home")
    store = Store.open(url)
    try:
        yield store
    finally:
        store.close()
