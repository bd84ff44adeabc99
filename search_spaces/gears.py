"""The eight hyperparameters of GEARS: size, depth and edges of both graphs, power of the loss, optimiser."""

from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

SPACE: dict[str, BaseDistribution] = {
    "gears.size": CategoricalDistribution((32, 64, 128)),
    "gears.n_network_layers": IntDistribution(0, 2),
    "gears.n_coexpression_layers": IntDistribution(0, 2),
    "gears.coexpression_threshold": CategoricalDistribution((0.2, 0.4, 0.6)),
    "gears.exponent": CategoricalDistribution((2, 4)),
    "training.learning_rate": FloatDistribution(1e-4, 1e-2, log=True),
    "training.weight_decay": FloatDistribution(1e-5, 1e-2, log=True),
    "graph.top_k": CategoricalDistribution((10, 20, 50)),
}

PUBLISHED: dict[str, Any] = {
    "graph.edge_weight": "confidence",
    "training.weight_decay": 5e-4,
    "training.minibatch_size": 32,
}
"""Fields beyond the model's own section that its published form sets otherwise than the defaults do."""
