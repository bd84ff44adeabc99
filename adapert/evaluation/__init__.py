"""Metrics of predicted against observed responses."""
