"""The server: collector, store, watcher, launcher and pages."""
