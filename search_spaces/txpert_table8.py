"""The grid of TxPert in Table 8 of the AdaPert paper.

Three of its rows have no field: attention reads no weights of edges, the squared error has weight 1, and a
penalty of DEGs has weight 0. Whether the Huber penalty sums over genes or averages, the table does not say.
"""

from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution

from adapert.study.plan.space import Conditional


def _on_plateau(*values: float) -> Conditional:
    return Conditional("training.schedule", ("plateau",), CategoricalDistribution(values))


SPACE: dict[str, BaseDistribution | Conditional] = {
    "txpert.hidden_size": CategoricalDistribution((64, 128, 256, 512)),
    "txpert.latent_size": CategoricalDistribution((64, 128, 256, 512)),
    "txpert.dropout": CategoricalDistribution((0.1, 0.2)),
    "txpert.norm": CategoricalDistribution(("batch", "none")),
    "txpert.layer": CategoricalDistribution(("gat", "gat_v2")),
    "txpert.n_layers": IntDistribution(2, 4),
    "txpert.size": CategoricalDistribution((64, 128)),
    "txpert.n_heads": CategoricalDistribution((1, 2, 4)),
    "txpert.skip": CategoricalDistribution(("none", "add", "cat")),
    "txpert.self_loops": CategoricalDistribution((True, False)),
    "training.minibatch_size": CategoricalDistribution((32, 64, 128)),
    "training.learning_rate": CategoricalDistribution((1e-4, 5e-4, 1e-3)),
    "training.weight_decay": CategoricalDistribution((0.0, 1e-5, 1e-4)),
    "training.max_epochs": CategoricalDistribution((100, 200)),
    "training.patience": CategoricalDistribution((20, 30)),
    "training.schedule": CategoricalDistribution(("plateau", "cosine")),
    "training.plateau_factor": _on_plateau(0.3, 0.5),
    "training.plateau_patience": _on_plateau(5, 10),
    "txpert.lambda_non": CategoricalDistribution((0.01, 0.02, 0.05)),
    "txpert.huber_delta": CategoricalDistribution((0.5, 1.0)),
    "txpert.huber_delta_unit": CategoricalDistribution(("absolute",)),
    "graph.top_k": CategoricalDistribution((10, 20)),
    "graph.nodes": CategoricalDistribution(("perturbed",)),
}
