"""Predictions of trained models: what they need in one folder, what they say, and as a model of MLflow."""
