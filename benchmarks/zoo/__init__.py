"""The zoo: real small training runs, sick and healthy, that the diagnosis engine is judged on. See `docs/diagnosis.md`."""
