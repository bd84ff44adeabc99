"""The eight hyperparameters of CPA (own compact version): sizes, adversary, regularisation, optimiser."""

from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

SPACE: dict[str, BaseDistribution] = {
    "cpa.latent_size": CategoricalDistribution((32, 64, 128)),
    "cpa.hidden_size": CategoricalDistribution((128, 256, 512)),
    "cpa.dropout": FloatDistribution(0.0, 0.5),
    "cpa.lambda_adversary": FloatDistribution(0.1, 20.0, log=True),
    "cpa.gradient_penalty": FloatDistribution(0.1, 20.0, log=True),
    "training.learning_rate": FloatDistribution(1e-4, 1e-2, log=True),
    "training.weight_decay": FloatDistribution(1e-6, 1e-1, log=True),
    "training.minibatch_size": CategoricalDistribution((64, 128, 256)),
}

PUBLISHED: dict[str, Any] = {
    "training.learning_rate": 5e-4,
    "training.weight_decay": 1e-6,
    "training.minibatch_size": 128,
}
"""Fields beyond the model's own section that it starts from otherwise than the defaults have them."""
