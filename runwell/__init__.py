"""Runwell's SDK: three lines that put any training run on the page. Standard library only."""
