"""Optuna behind a study: seeded suggestions, honest ends of trials, rebuilt from the ledger at any time."""

import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, QMCSampler, RandomSampler, TPESampler
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from adapert.errors import InputError
from adapert.seeding import derive_seed
from adapert.study.engine.events import ConfigCompleted
from adapert.study.engine.ledger import read_identity
from adapert.study.plan.plans import Search
from adapert.study.plan.space import Conditional, distribution_of, is_varied

JOURNAL_FILE = "optuna_journal.log"
"""Optuna's storage where no database is named: a mirror of the ledger, for Optuna's own tools."""

OWNER, IDENTITY = "adapert.folder", "adapert.identity"
"""Attributes of a study of Optuna's: the folder that it mirrors, and the identity of the ledger there."""

MEMORY = "memory"
"""The constraint that a config which does not fit into memory breaks."""

_DRAWN = "tpe:relative_params:0"
"""Where TPE keeps what it drew for a running trial; empty makes it look at the trial's values alone."""


@dataclass(frozen=True)
class Owner:
    """The study that a study of Optuna's belongs to.

    Attributes:
        folder: The study's folder, absolute.
        identity: Its ledger's (`read_identity`), which moves with the folder; empty before a study is begun.
    """

    folder: str = ""
    identity: str = ""

    def owns(self, attributes: Mapping[str, Any]) -> bool:
        """Whether a study of Optuna's is this one's: begun in this folder, or moved here since.

        A copy has the identity of its original, but that is still where it was.
        """
        if attributes.get(OWNER) == self.folder:
            return True
        is_same = bool(self.identity) and attributes.get(IDENTITY) == self.identity
        return is_same and read_identity(Path(attributes[OWNER])) != self.identity


NOBODY = Owner()
"""The owner of what lies in a storage that is not shared."""


@dataclass(frozen=True)
class ConfigEnd:
    """How a config ended, in Optuna's terms.

    Attributes:
        state: COMPLETE with the objective at full fidelity; PRUNED where it was stopped; FAIL where that
            says nothing of its value.
        value: The objective; None where there is none.
        epoch: Epoch of the value, for a pruned config.
        is_infeasible: Whether it needs more memory than there is. Samplers look at constraints of pruned
            trials, never of failed ones, so it counts as PRUNED without a value.
    """

    state: TrialState
    value: float | None = None
    epoch: int = 0
    is_infeasible: bool = False

    @classmethod
    def from_line(cls, line: ConfigCompleted) -> "ConfigEnd":
        """Read what `to_line` wrote."""
        return cls(TrialState[line.state], line.value, line.epoch, line.is_infeasible)

    def to_line(self, number: int) -> ConfigCompleted:
        """Write a config's end as a line of the ledger."""
        return ConfigCompleted(number=number, **asdict(self) | {"state": self.state.name})

    @property
    def final_value(self) -> float | None:
        """Of a config that was trained to its end."""
        return self.value if self.state == TrialState.COMPLETE else None

    @property
    def intermediate_values(self) -> dict[int, float]:
        """Epoch to value, of a pruned config, whose value Optuna takes from here."""
        is_partial = self.state == TrialState.PRUNED and self.value is not None
        return {self.epoch: self.value} if is_partial and self.value is not None else {}

    @property
    def constraints(self) -> dict[str, float]:
        """Optuna's constraints; above 0 is infeasible."""
        return {MEMORY: 1.0} if self.is_infeasible else {}


class SobolPoint(QMCSampler):
    """Suggest one point of a scrambled Sobol sequence.

    Optuna's own sampler draws at random until a trial has ended, and keeps its position in the storage,
    where trials that are put back after a crash leave none: here the number is the position.
    """

    def __init__(self, plan: Search, number: int) -> None:
        """Choose the point of this number, from 0, in the sequence of the plan's seed."""
        seed = derive_seed(plan.seed, "quasi-random") % 2**32
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)  # of the class
            super().__init__(qmc_type="sobol", scramble=True, seed=seed, warn_independent_sampling=False)
        # By name: a space that comes back from a ledger has the same coordinates, whatever its order.
        self._space = {field: distribution_of(plan.space[field]) for field in sorted(plan.space)}
        self._number = number

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, Any]:
        """Take all fields as coordinates; those of a condition that does not hold are not asked for."""
        return self._space

    def _find_sample_id(self, study: optuna.Study, search_space: dict[str, BaseDistribution]) -> int:
        return self._number


def build_sampler(plan: Search, number: int) -> BaseSampler:
    """Build the sampler of one suggestion; TPE's options are pinned, since Optuna 5 changed their defaults.

    A sampler of its own for each suggestion, seeded by the number, has no position that a crash could lose.
    """
    if plan.sampler == "quasi_random":
        return SobolPoint(plan, number)
    seed = derive_seed(plan.seed, f"suggestion {number}") % 2**32
    if plan.sampler == "random":
        return RandomSampler(seed=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)  # of `group`
        return TPESampler(
            seed=seed,
            n_startup_trials=plan.n_startup_trials,
            multivariate=True,
            group=_has_conditions(plan),
            constant_liar=True,
        )


class Suggestions:
    """Ask Optuna for configs and tell it how they ended.

    A config is known by its number, from 0, in the order of asking. Several seeds of a config are one trial
    of Optuna's.
    """

    def __init__(self, plan: Search, name: str, storage: BaseStorage, owner: Owner = NOBODY) -> None:
        """Begin from scratch: a study of this name and owner in the storage is replaced.

        Raises:
            InputError: The storage has another study of this name.
        """
        check_owner(name, storage, owner)
        if name in optuna.get_all_study_names(storage):
            optuna.delete_study(study_name=name, storage=storage)
        self.plan = plan
        self._study = optuna.create_study(study_name=name, storage=storage, direction="maximize")
        self._study.set_user_attr(OWNER, owner.folder)
        self._study.set_user_attr(IDENTITY, owner.identity)
        self._trials: dict[int, Trial] = {}

    def suggest(self, number: int) -> dict[str, Any]:
        """Suggest the config of a number, one more than the last.

        Returns:
            Dotted field to value; fields whose condition does not hold are left out.
        """
        self._study.sampler = build_sampler(self.plan, number)
        if number < len(self.plan.initial_points):
            self._study.enqueue_trial(dict(self.plan.initial_points[number]))
        trial = self._study.ask()
        assert trial.number == number
        self._trials[number] = trial
        suggested: dict[str, Any] = {}
        for field, choice in self.plan.space.items():
            if is_varied(choice, suggested):
                suggested[field] = _suggest(trial, field, distribution_of(choice))
        if _has_conditions(self.plan):
            # It also drew fields that are not varied here, which no other process knows of.
            self._study._storage.set_trial_system_attr(trial._trial_id, _DRAWN, "")
        return suggested

    def tell(self, number: int, end: ConfigEnd) -> None:
        """Tell how a config ended."""
        trial = self._trials.pop(number)
        for name, value in end.constraints.items():
            trial.set_constraint(name, value)
        for epoch, value in end.intermediate_values.items():
            trial.report(value, epoch)
        self._study.tell(trial, end.final_value, state=end.state)

    def restore(self, number: int, suggested: Mapping[str, Any], end: ConfigEnd | None) -> None:
        """Put a config back that an earlier process was suggested.

        Args:
            number: One more than the last.
            suggested: What `suggest` returned then.
            end: How it ended; None while it is open.
        """
        known = end or ConfigEnd(TrialState.RUNNING)
        self._study.add_trial(build_trial(self.plan, suggested, known, known.intermediate_values))
        if end is None:
            restored = self._study.get_trials(deepcopy=False)[number]
            self._trials[number] = Trial(self._study, restored._trial_id)

    def close(self) -> None:
        """Tell FAIL for configs that are still open, so that none seems to run indefinitely."""
        for number in list(self._trials):
            self.tell(number, ConfigEnd(TrialState.FAIL))

    @property
    def trials(self) -> list[FrozenTrial]:
        """What Optuna knows, by number."""
        return self._study.get_trials()


def build_trial(
    plan: Search,
    suggested: Mapping[str, Any],
    end: ConfigEnd,
    intermediate_values: Mapping[int, float],
    user_attrs: Mapping[str, Any] | None = None,
) -> FrozenTrial:
    """Build Optuna's trial of a config from what it was suggested and how it ended."""
    return create_trial(
        state=end.state,
        value=end.value,
        params=dict(suggested),
        distributions={field: distribution_of(plan.space[field]) for field in suggested},
        intermediate_values=dict(intermediate_values),
        user_attrs=dict(user_attrs or {}),
        constraints=end.constraints,
    )


def check_owner(name: str, storage: BaseStorage, owner: Owner) -> None:
    """Refuse a storage that has somebody else's study of this name, which would be lost.

    Raises:
        InputError: It has.
    """
    if name in optuna.get_all_study_names(storage):
        found = optuna.load_study(study_name=name, storage=storage).user_attrs
        if not owner.owns(found):
            raise InputError(
                f"A study's name must be new in Optuna's storage, but '{name}' there is of "
                f"'{found.get(OWNER) or 'another program'}'. Launch it under another --name."
            )


def open_storage(address: str, folder: Path) -> BaseStorage:
    """Open Optuna's storage: the database at an address (``"postgresql://..."``), or a journal file."""
    if address:
        return RDBStorage(address)
    journal = folder / JOURNAL_FILE
    # The ledger rebuilds it; a killed process may have left it torn, or locked.
    for stale in folder.glob(f"{JOURNAL_FILE}*"):
        stale.unlink()
    return JournalStorage(JournalFileBackend(str(journal)))


def round_suggestion(value: Any, distribution: BaseDistribution) -> Any:
    """Keep four significant digits of a suggested number, so that people can read and retype a config."""
    if not isinstance(distribution, FloatDistribution):
        return value
    rounded = float(f"{value:.4g}")
    # Beyond its bounds a field may not be valid.
    return rounded if distribution.low <= rounded <= distribution.high else value


def _has_conditions(plan: Search) -> bool:
    return any(isinstance(choice, Conditional) for choice in plan.space.values())


def _suggest(trial: Trial, field: str, distribution: BaseDistribution) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return trial.suggest_categorical(field, distribution.choices)
    if isinstance(distribution, IntDistribution):
        return trial.suggest_int(
            field, distribution.low, distribution.high, step=distribution.step, log=distribution.log
        )
    assert isinstance(distribution, FloatDistribution)
    return trial.suggest_float(
        field, distribution.low, distribution.high, step=distribution.step, log=distribution.log
    )
