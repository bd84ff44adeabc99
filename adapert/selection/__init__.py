"""Choosing a config by validation: rank, re-evaluate on fresh seeds and splits, decide."""
