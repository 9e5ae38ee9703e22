"""The HTTP border: one router a noun. Bodies are read by hand and bounded; answers are strict JSON; errors one sentence."""
