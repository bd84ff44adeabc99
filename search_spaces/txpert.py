"""Eight hyperparameters of TxPert: its graph encoder, its latent size, dropout, learning rate and edges."""

from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

SPACE: dict[str, BaseDistribution] = {
    "txpert.layer": CategoricalDistribution(("gat", "gat_v2")),
    "txpert.n_layers": IntDistribution(2, 4),
    "txpert.size": CategoricalDistribution((64, 128)),
    "txpert.n_heads": CategoricalDistribution((1, 2, 4)),
    "txpert.latent_size": CategoricalDistribution((64, 128, 256, 512)),
    "txpert.dropout": FloatDistribution(0.0, 0.5),
    "training.learning_rate": FloatDistribution(1e-4, 1e-2, log=True),
    "graph.top_k": CategoricalDistribution((5, 10, 20, 50)),
}

PUBLISHED: dict[str, Any] = {"data.control": "batch_mean", "graph.nodes": "perturbed"}
"""Fields beyond the model's own section that its published form sets otherwise than the defaults do."""
