"""The six hyperparameters of AdaPert that studies steer."""

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

SPACE: dict[str, BaseDistribution] = {
    "loss.lambda_non": FloatDistribution(1e-5, 1e-1, log=True),
    "loss.lambda_align": FloatDistribution(1e-4, 1.0, log=True),
    "loss.huber_delta": FloatDistribution(0.1, 2.0),  # standard deviations of non-DEG deltas
    "model.tau": FloatDistribution(0.1, 2.0, log=True),
    "model.threshold": FloatDistribution(0.25, 32.0, log=True),  # times 1/V
    "graph.top_k": CategoricalDistribution((5, 10, 20, 50)),
}

PEER_SPACE: dict[str, BaseDistribution] = SPACE | {
    "training.learning_rate": FloatDistribution(1e-4, 1e-2, log=True),
    "model.dropout": FloatDistribution(0.0, 0.7),
}
"""Beside other systems, eight as each of them: its six, the learning rate and the dropout."""
