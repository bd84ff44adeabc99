"""A trial as Ray Tune runs it: a class Trainable, an epoch a step."""

from collections.abc import Mapping
from typing import Any

from ray import tune

from adapert.data.shipping import ShippedFolder
from adapert.study.execution.trainer import TrialSettings, TrialTrainer

REPORT = "report"


def read_report(result: Mapping[str, Any]) -> dict[str, Any]:
    """Read a trial's report from what Tune hands on: flat, and among the bookkeeping that it adds."""
    beginning = f"{REPORT}/"
    return {
        name.removeprefix(beginning): value for name, value in result.items() if name.startswith(beginning)
    }


class TrialTrainable(tune.Trainable):  # type: ignore[misc]
    """Gives an actor a trainer, which takes the actor's trials one after the other."""

    def setup(self, config: dict[str, Any], shipped: ShippedFolder | None = None) -> None:
        """Take a fresh actor's first trial.

        Args:
            config: ``settings``: of `TrialSettings`, as text.
            shipped: The prepared data set, for nodes that do not see its path.
        """
        self._trainer = TrialTrainer(shipped)
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take another trial in this actor."""
        self._trainer.take(TrialSettings.from_text(new_config["settings"]))
        return True

    def step(self) -> dict[str, Any]:
        """Train one epoch; what `TrialTrainer.step` reports stands apart from what Ray adds to it."""
        return {REPORT: self._trainer.step()}
