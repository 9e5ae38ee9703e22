"""The rules: series in, findings out. Pure: no clock, no files, no network."""
