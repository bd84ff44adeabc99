"""Benchmarks that anyone can run; see each module."""
