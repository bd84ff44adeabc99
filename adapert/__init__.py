"""adapert: hyperparameter search and ablation studies for the AdaPert perturbation model."""

__version__ = "0.1.0"
