"""The eight hyperparameters of scVI (own compact version): sizes, regularisation, optimiser."""

from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

SPACE: dict[str, BaseDistribution] = {
    "scvi.latent_size": CategoricalDistribution((10, 30, 64)),
    "scvi.hidden_size": CategoricalDistribution((64, 128, 256)),
    "scvi.n_layers": IntDistribution(1, 2),
    "scvi.dropout": FloatDistribution(0.0, 0.5),
    "scvi.beta": FloatDistribution(1e-2, 10.0, log=True),
    "training.learning_rate": FloatDistribution(1e-4, 1e-2, log=True),
    "training.weight_decay": FloatDistribution(1e-6, 1e-1, log=True),
    "training.minibatch_size": CategoricalDistribution((64, 128, 256)),
}

PUBLISHED: dict[str, Any] = {"training.weight_decay": 1e-6, "training.minibatch_size": 128}
"""Fields beyond the model's own section that scvi-tools sets otherwise than the defaults do."""
