"""The eight hyperparameters of MORPH (own compact version): latents, programs, sets, loss, optimiser."""

from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

SPACE: dict[str, BaseDistribution] = {
    "morph.latent_size": CategoricalDistribution((25, 50, 100)),
    "morph.perturbation_size": CategoricalDistribution((25, 50, 100)),
    "morph.n_programs": CategoricalDistribution((25, 50, 100)),
    "morph.set_size": CategoricalDistribution((16, 32, 64)),
    "morph.alpha": FloatDistribution(0.5, 8.0, log=True),
    "morph.beta": FloatDistribution(1e-3, 4.0, log=True),
    "training.learning_rate": FloatDistribution(1e-4, 1e-2, log=True),
    "training.minibatch_size": CategoricalDistribution((1, 4, 16, 64)),
}

PUBLISHED: dict[str, Any] = {
    "training.learning_rate": 1e-4,
    "training.weight_decay": 0.0,
    "training.minibatch_size": 1,
}
"""Fields beyond the model's own section that its published form sets otherwise than the defaults do."""
