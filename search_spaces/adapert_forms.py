"""The six hyperparameters, the optimiser, the sizes, and the forms that the paper leaves open."""

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from search_spaces.adapert_wide import SPACE as WIDE

SPACE: dict[str, BaseDistribution] = WIDE | {
    "model.dropout": FloatDistribution(0.0, 0.7),
    "model.structural_size": CategoricalDistribution((32, 64, 128, 256)),
    "model.latent_size": CategoricalDistribution((64, 128, 256, 512)),
    "model.n_graph_layers": IntDistribution(0, 4),
    "model.node_features": CategoricalDistribution(("one_hot", "text", "one_hot+text")),
    "model.graph_activation": CategoricalDistribution(("none", "gelu")),
    "model.self_loops": CategoricalDistribution((False, True)),
    "model.selection": CategoricalDistribution(("straight_through", "soft")),
    "graph.edge_weight": CategoricalDistribution(("uniform", "confidence")),
    "loss.alignment": CategoricalDistribution(("frozen", "contrastive")),
}
