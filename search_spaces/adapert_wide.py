"""The six hyperparameters, the optimiser and the sizes."""

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from search_spaces.adapert import SPACE as SIX_KNOBS

SPACE: dict[str, BaseDistribution] = SIX_KNOBS | {
    "training.learning_rate": FloatDistribution(1e-4, 1e-2, log=True),
    "training.weight_decay": FloatDistribution(1e-5, 1e-1, log=True),
    "model.dropout": FloatDistribution(0.0, 0.7),
    "model.structural_size": CategoricalDistribution((32, 64, 128)),
    "model.latent_size": CategoricalDistribution((64, 128, 256)),
    "model.hidden_size": CategoricalDistribution((128, 256, 512)),
    "model.n_graph_layers": IntDistribution(1, 3),
}
