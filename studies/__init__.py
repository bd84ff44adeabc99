"""Recipes: each module's `study(base)` returns a complete Study."""
