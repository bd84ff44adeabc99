"""Training of AdaPert: rows of sufficient statistics, the loop, checkpoints."""
