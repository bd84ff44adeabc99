"""Choose a config by validation: rank, retrain the best on fresh seeds and splits, decide."""
