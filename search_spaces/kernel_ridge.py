"""The eight hyperparameters of kernel ridge: its edges, its two kernels, how they are joined, the penalty."""

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

from adapert.study.plan.space import Conditional

SPACE: dict[str, BaseDistribution | Conditional] = {
    "graph.top_k": CategoricalDistribution((5, 10, 20, 50)),
    "kernel_ridge.network_kernel": CategoricalDistribution(("spectral", "heat", "laplacian")),
    "kernel_ridge.time": Conditional(
        "kernel_ridge.network_kernel", ("heat", "laplacian"), FloatDistribution(0.5, 16.0, log=True)
    ),
    "kernel_ridge.text_gamma": FloatDistribution(0.15, 6.0, log=True),
    "kernel_ridge.network_gamma": FloatDistribution(0.15, 6.0, log=True),
    "kernel_ridge.text_weight": FloatDistribution(0.1, 0.9),
    "kernel_ridge.product_weight": FloatDistribution(0.0, 2.0),
    "kernel_ridge.penalty": FloatDistribution(3e-3, 10.0, log=True),
}

FURTHER_EMBEDDINGS: dict[str, BaseDistribution] = {
    "kernel_ridge.other_gamma": FloatDistribution(0.15, 6.0, log=True),
    "kernel_ridge.other_weight": FloatDistribution(0.0, 8.0),
}
"""Beside `SPACE` where the config picks several sources of embeddings; with one, no model reads them."""
