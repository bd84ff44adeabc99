"""Fit models by name, several seeds of those that have chance, and evaluate them all on one split."""

from adapert.comparison.fits import Fitted, fit_models, mean_predictions
from adapert.comparison.plan import REFITS, ComparisonPlan, Note, Refit
from adapert.comparison.scores import (
    Scored,
    compare,
    emission_generator,
    evaluate_model,
    measure_ceilings,
    score,
)
from adapert.comparison.table import build_comparison_table, describe_comparison

__all__ = [
    "REFITS",
    "ComparisonPlan",
    "Fitted",
    "Note",
    "Refit",
    "Scored",
    "build_comparison_table",
    "compare",
    "describe_comparison",
    "emission_generator",
    "evaluate_model",
    "fit_models",
    "mean_predictions",
    "measure_ceilings",
    "score",
]
