"""Figure 5: the weight of the non-DEG loss, in both readings of Eq. 15."""

from adapert.config import Config
from adapert.statistics.questions import name_weight
from adapert.statistics.readings import LETTER, READINGS
from adapert.study.plan.study import Design, Study

LAMBDAS = (3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1)


def study(base: Config) -> Study:
    """Eight values of lambda_non in each reading, and none, which both readings share; three seeds each."""
    without = {"loss.lambda_non": 0.0, "loss.non_deg_reduction": "sum"}
    variants = {name_weight(0.0): without} | {
        f"{name_weight(value)}{'_to_the_letter' if reading == LETTER else ''}": {
            "loss.lambda_non": value,
            "loss.non_deg_reduction": reduction,
        }
        for reduction, reading in READINGS.items()
        for value in LAMBDAS
    }
    return Study(
        name="sensitivity",
        question="How does the weight of the non-DEG loss act, by effect size and reading of the loss?",
        base=base,
        plan=Design(kind="sensitivity", variants=variants),
    )
