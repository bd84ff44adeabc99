"""What is compared, and how."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import torch

from adapert.config import Config, default_models, model_names
from adapert.data.schema import SplitName
from adapert.errors import InputError, nearest
from adapert.evaluation.emission import EMISSIONS, EmissionName
from adapert.models.protocol import PerturbationModel
from adapert.registry import build_model
from adapert.statistics.pairs import LABEL_MARK
from adapert.study.plan.peers import published_config

Refit: TypeAlias = Literal["train", "train+validation"]
REFITS: tuple[Refit, ...] = get_args(Refit)


@dataclass(frozen=True, kw_only=True)
class ComparisonPlan:
    """What is compared, and how.

    Attributes:
        models: Names of models; None compares those of the configs, AdaPert, and every model fitted at once.
        split: Split that is predicted.
        on: Another prepared data set, of which the split is; that of the configs where None.
        n_seeds: Seeds 0, 1, ... of each model that has chance.
        use_ensembles: Whether the mean prediction of a model's seeds is compared too.
        emission: How cells are made from predictions, for metrics that test cells.
        device: Where models are trained.
        refit: What the scored models learned from: the training perturbations, with epoch and penalty chosen
            on validation; or, after that choice, both again with it fixed.
        n_threads: Torch's, of a fit; as many as a trial's, so that numbers can be the same. Threads that wait
            for each other on a busy machine make a fit many times slower.

    Raises:
        InputError: An unknown model or way of emission, no model, an ensemble of one seed, or validation
            perturbations that were learned from.
    """

    models: Sequence[str] | None = None
    split: SplitName
    on: Path | None = None
    n_seeds: int = 3
    use_ensembles: bool = False
    emission: EmissionName = "control_shift"
    device: str = "cpu"
    refit: Refit = "train"
    n_threads: int = 1

    def __post_init__(self) -> None:
        named = default_models() if self.models is None else self.models
        if not named:
            raise InputError(f"A comparison needs a model. Models are {', '.join(model_names())}.")
        _check_known("model", named, model_names())
        _check_known("way of emission", [self.emission], tuple(EMISSIONS))
        _check_known("--refit", [self.refit], REFITS)
        if self.refit != "train" and self.split != "test" and self.on is None:
            raise InputError(
                "Scores are of perturbations that no model learned from, but --refit train+validation learns "
                f"from those of --split {self.split}. Leave one of the two out."
            )
        if self.use_ensembles and self.n_seeds < 2:
            raise InputError(
                "An ensemble is the mean of several seeds, but --seeds is 1. Give --seeds 2 or more."
            )

    @property
    def learned_from(self) -> tuple[SplitName, ...]:
        """Splits whose perturbations the scored models learned from."""
        return ("train",) if self.refit == "train" else ("train", "validation")

    def names(self, configs: Iterable[Config]) -> tuple[str, ...]:
        """Name every model that is compared, once, in the order in which they are shown."""
        own = (config.model.name for config in configs)
        return tuple(dict.fromkeys([*own, *default_models()] if self.models is None else self.models))

    def check_ensembles(self, variants: Mapping[str, Config]) -> None:
        """Refuse ensembles where no variant has chance.

        Raises:
            InputError: None has.
        """
        if self.use_ensembles and not any(map(self.has_chance, variants.values())):
            raise InputError(
                "An ensemble is the mean of several seeds, but no seed changes "
                f"{', '.join(variants)}. Leave --ensemble out, or add adapert to --models."
            )

    def has_chance(self, config: Config) -> bool:
        """Whether fits of a config differ by seed."""
        # Only the model itself knows; building one does not read data.
        return self.build(config, seed=0).is_seeded

    def build(self, config: Config, seed: int) -> PerturbationModel:
        """Build an untrained model."""
        return build_model(config, seed, torch.device(self.device))


def name_variants(models: Sequence[str], configs: Mapping[str, Config]) -> dict[str, Config]:
    """Name every config that is compared.

    Args:
        models: Names of models, in the order in which they are shown.
        configs: Label, such as a file's name, to config; one or more. A model that none of them names gets
            its published form, on the data of the first.

    Returns:
        Variant to config. A variant has its model's name, or, where several configs are of one model, also
        its label: ``"adapert:tuned"``.

    Raises:
        InputError: One of several configs is of a model that is not compared, or of other training data.
    """
    first = next(iter(configs.values()))
    variants: dict[str, Config] = {}
    for model in models:
        of_model = {label: config for label, config in configs.items() if config.model.name == model}
        if len(of_model) > 1:
            variants |= {f"{model}{LABEL_MARK}{label}": config for label, config in of_model.items()}
        else:
            variants[model] = next(iter(of_model.values()), published_config(model, first))
    if len(configs) > 1:
        _check_alike(models, configs)
    return variants


def _check_alike(models: Sequence[str], configs: Mapping[str, Config]) -> None:
    (label, first), *others = configs.items()
    for name, config in configs.items():
        if config.model.name not in models:
            raise InputError(
                f"Every config is compared, but '{name}' is of {config.model.name}, which --models leaves "
                "out. Add it there, or leave the config out."
            )
    for name, config in others:
        for setting in ("fingerprint", "split_seed"):
            ours, theirs = getattr(first.data, setting), getattr(config.data, setting)
            if ours != theirs:
                raise InputError(
                    "Configs are compared on the same perturbations, but they differ in "
                    f"data.{setting}: {ours} in '{label}', {theirs} in '{name}'. Evaluate them apart, or set "
                    "one for all, such as with --data or --set."
                )


def _check_known(what: str, given: Sequence[str], known: Sequence[str]) -> None:
    for name in given:
        if name not in known:
            raise InputError(
                f"There is no {what} '{name}'.{nearest(name, known)} Known are {', '.join(known)}."
            )
