"""Perturbation labels as the field writes them: words, spellings, one rule, and what they were taken for."""
