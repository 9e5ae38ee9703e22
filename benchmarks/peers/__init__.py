"""Other trackers and ours put through the same four measurements, each under an interpreter that has it."""
