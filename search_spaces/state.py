"""The eight hyperparameters of STATE (own compact version): size, depth and heads, sets, optimiser."""

from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

SPACE: dict[str, BaseDistribution] = {
    "state.hidden_size": CategoricalDistribution((64, 128, 256)),
    "state.n_layers": IntDistribution(1, 4),
    "state.n_heads": CategoricalDistribution((2, 4, 8)),
    "state.set_size": CategoricalDistribution((16, 32, 64, 128)),
    "state.dropout": FloatDistribution(0.0, 0.5),
    "training.learning_rate": FloatDistribution(1e-4, 1e-2, log=True),
    "training.weight_decay": FloatDistribution(1e-5, 1e-1, log=True),
    "training.minibatch_size": CategoricalDistribution((4, 8, 16, 32, 64)),
}

PUBLISHED: dict[str, Any] = {"training.minibatch_size": 8}
"""Sets in a minibatch, where the defaults count perturbations or cells. The published sizes are larger."""
