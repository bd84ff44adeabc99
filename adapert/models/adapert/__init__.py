"""AdaPert: perturbation-conditioned contexts on a gene graph (section 3 of the AdaPert paper)."""

from adapert.models.adapert.model import AdaPert, Prediction, build_model

__all__ = ["AdaPert", "Prediction", "build_model"]
