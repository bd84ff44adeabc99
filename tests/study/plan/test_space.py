import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from adapert.study.plan.space import Conditional, describe_choice

WIDE = FloatDistribution(0.5, 16, log=True)
KERNELS = ("heat", "laplacian")


@pytest.mark.parametrize(
    ("choice", "described"),
    [
        (FloatDistribution(1e-5, 0.1, log=True), "1e-05 to 0.1, log scale"),
        (FloatDistribution(0, 1), "0 to 1"),
        (FloatDistribution(0, 1, step=0.1), "0 to 1 in steps of 0.1"),
        (IntDistribution(1, 3), "1 to 3"),
        (IntDistribution(16, 1024, log=True), "16 to 1024, log scale"),
        (IntDistribution(8, 64, step=8), "8 to 64 in steps of 8"),
        (CategoricalDistribution((5, 10, 20, 50)), "5, 10, 20 or 50"),
        (CategoricalDistribution((True,)), "True"),
        (
            Conditional("kernel_ridge.network_kernel", KERNELS, WIDE),
            "0.5 to 16, log scale, where network_kernel is heat or laplacian",
        ),
        (Conditional("model.name", ("a",), WIDE), "0.5 to 16, log scale, where model.name is a"),
    ],
)
def test_a_choice_is_described_in_words(choice: BaseDistribution | Conditional, described: str) -> None:
    assert describe_choice("kernel_ridge.time", choice) == described
