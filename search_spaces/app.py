"""The eight hyperparameters of APP: features, network, depth, size, regularisation, optimiser."""

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

SPACE: dict[str, BaseDistribution] = {
    "app.node_features": CategoricalDistribution(("one_hot", "text", "both")),
    "app.size": CategoricalDistribution((64, 128, 256)),
    "app.n_layers": IntDistribution(1, 3),
    "app.aggregation": CategoricalDistribution(("mean", "sum", "max")),
    "app.own_gene": CategoricalDistribution((False, True)),
    "app.dropout": FloatDistribution(0.0, 0.5),
    "training.learning_rate": FloatDistribution(1e-4, 1e-2, log=True),
    "graph.top_k": CategoricalDistribution((5, 10, 20, 50)),
}
