"""The pages: Dash on the store's read methods. Knows no SQL, speaks no HTTP to itself, never loads torch."""
