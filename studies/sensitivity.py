"""Figure 5: the weight of the non-DEG loss."""

from adapert.config import Config
from adapert.study.plan.study import Design, Study

LAMBDAS = (0.0, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1)


def study(base: Config) -> Study:
    """Nine values of lambda_non, three seeds each."""
    return Study(
        name="sensitivity",
        question="How does the weight of the non-DEG loss act, by effect size?",
        base=base,
        plan=Design(
            kind="sensitivity",
            variants={f"lambda_non={value:g}": {"loss.lambda_non": value} for value in LAMBDAS},
        ),
    )
