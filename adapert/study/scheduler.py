"""Which trials go on: asynchronous successive halving over epochs, or all of them."""

from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler

from adapert.records import OBJECTIVE
from adapert.study.study import Search, Study


def build_scheduler(study: Study) -> TrialScheduler:
    """Stop a search's poor trials early; a design's trials all run to their end (full fidelity)."""
    max_epochs = study.base.training.max_epochs
    if not isinstance(study.plan, Search) or study.plan.min_epochs >= max_epochs:
        return FIFOScheduler()
    return ASHAScheduler(
        time_attr="epoch",
        metric=OBJECTIVE,
        mode="max",
        max_t=max_epochs,
        grace_period=study.plan.min_epochs,
        reduction_factor=study.plan.reduction_factor,
    )
