"""Models compared on one split: fit, score, summarise, and the record of accesses to the test split."""
