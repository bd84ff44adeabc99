"""A trial as Ray Tune runs it: a class Trainable, an epoch a step."""

from typing import Any

from ray import tune

from adapert.data.shipping import ShippedFolder
from adapert.study.execution.trainer import TrialSettings, TrialTrainer


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
        """Train one epoch; see `TrialTrainer.step`."""
        return self._trainer.step()
