"""The six hyperparameters, the optimiser, the sizes, and the forms that the paper leaves open."""

from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution

from search_spaces.adapert_wide import SPACE as WIDE

SPACE: dict[str, BaseDistribution] = WIDE | {
    "model.structural_size": CategoricalDistribution((32, 64, 128, 256)),
    "model.latent_size": CategoricalDistribution((64, 128, 256, 512)),
    "model.n_graph_layers": IntDistribution(0, 4),
    "model.node_features": CategoricalDistribution(
        ("text", "one_hot+text", "text+spectral", "text+spectral+diffused")
    ),
    "model.decoder_layers": IntDistribution(1, 4),
    "model.output_basis": CategoricalDistribution((0, 32, 64, 128)),
    "model.graph_activation": CategoricalDistribution(("none", "gelu")),
    "model.self_loops": CategoricalDistribution((False, True)),
    "model.selection": CategoricalDistribution(("straight_through", "soft")),
    "graph.edge_weight": CategoricalDistribution(("uniform", "confidence")),
    "loss.alignment": CategoricalDistribution(("frozen", "contrastive")),
}
