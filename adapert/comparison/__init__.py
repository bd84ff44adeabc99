"""Models beside each other on one split: fit, score, summarise, and the record of looks at the test split."""
