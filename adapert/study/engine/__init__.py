"""What decides and remembers: the ledger, the state folded from it, sources of trials, rungs, the runner."""
