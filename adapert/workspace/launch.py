"""Launch a study in a workspace: its folder, its runs in MLflow, its progress in the terminal."""

import json
import logging
import shutil
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from adapert.addresses import passwords, take_apart
from adapert.commands import in_workspace
from adapert.config import Config, check_read, read_config
from adapert.config.presets import PREPARE_CHOICES, locate_config
from adapert.data.array_tables import PerturbationTable
from adapert.data.manifest import Manifest, read_manifest
from adapert.data.prepared import check_values, read_prepared
from adapert.data.sources import check_cells, check_picked
from adapert.errors import InputError, first_line, format_count
from adapert.files import write_whole
from adapert.records import CODE_DIFF_FILE
from adapert.results.inputs import find_data
from adapert.statistics.power import describe_power, warn_of_tests
from adapert.statistics.questions import REFERENCE
from adapert.statistics.readings import find_empty
from adapert.study.engine.events import StudyDefined
from adapert.study.engine.folders import study_folder
from adapert.study.engine.ledger import FORMAT, LEDGER_FILE, Ledger, held
from adapert.study.engine.limits import Limits
from adapert.study.engine.search import Owner, check_owner, open_storage
from adapert.study.engine.state import read_state
from adapert.study.engine.trial_files import TRIALS_FOLDER
from adapert.study.execution.resources import Resources
from adapert.study.plan.definition import describe_origin, describe_study
from adapert.study.plan.study import Design, Study
from adapert.tracking.provenance import code_diff, git_commit, package_versions
from adapert.tracking.read import has_trials
from adapert.tracking.store import ADDRESS_FILE, absolute_address, name_store, open_store, tracking_uri
from adapert.workspace.progress import format_seconds
from adapert.workspace.session import StudyResult, operate

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient
    from optuna.storages import BaseStorage

_LOGGER = logging.getLogger(__name__)

PROBE_EPOCHS = 3

START_SECONDS = {"ray": 10, "local": 2}
"""Executor to the time until its first trial trains, about: that of Ray, its workers' imports."""


def build_base(
    data: Path | None, config: Path | None, changes: Mapping[str, Any], workspace: Path = Path()
) -> Config:
    """Build a study's base config: a config file or the defaults, a data set, and changes on top.

    Args:
        data: Prepared data set; None takes the one that the config file names.
        config: YAML file, or a preset's name; None is the defaults.
        changes: Dotted fields.
        workspace: Where the config may have been picked; its data may have been moved together with it.

    Raises:
        InputError: No data set is named or found, or one of another fingerprint than the config's; or a
            wrong field.
    """
    base = read_config(locate_config(config)) if config else Config()
    if data is None and not base.data.path:
        raise InputError("A study needs a prepared data set, but none was named. Give --data DIR.")
    path = data or find_data(base, workspace)
    manifest = read_manifest(path)
    if config:
        _warn_of_preparation(str(config), path, manifest)
    place = {"data.path": str(path.resolve()), "data.fingerprint": manifest.fingerprint}
    return base.with_changes({**changes, **place})


def _warn_of_preparation(preset: str, data: Path, manifest: Manifest) -> None:
    """Say where a preset goes with other choices of a preparation; a response table brings its own DEGs."""
    if manifest.kind == "responses":
        return
    for choice, value in PREPARE_CHOICES.get(preset, {}).items():
        found, option = getattr(manifest.choices, choice), f"--{choice.replace('_', '-')}"
        if found != value:
            _LOGGER.warning(
                f"The preset '{preset}' goes with data that were prepared with {option} {value}, but "
                f"'{data}' was prepared with {option} {found}, so its DEGs are others. Prepare it again for "
                "the whole preset."
            )


def check_new(study: Study, workspace: Path) -> None:
    """Refuse a name that the workspace has.

    Raises:
        InputError: A study of this name exists.
    """
    if (study_folder(workspace, study.name) / LEDGER_FILE).exists():
        named = in_workspace(workspace, study.name)
        raise InputError(
            f"A study's name must be new in its workspace, but '{study.name}' exists in '{workspace}'. "
            f"Launch under another --name, or continue: adapert resume {named}, or add to it: adapert extend "
            f"{named}"
        )


def is_begun(study: Study, workspace: Path) -> bool:
    """Whether the workspace has this very study, so that it can be resumed.

    Raises:
        InputError: It has another of this name.
    """
    folder = study_folder(workspace, study.name)
    if not (folder / LEDGER_FILE).exists():
        return False
    begun = read_state(folder).study
    # Wherever its data lie now: their fingerprint says whether they are the same.
    if _placeless(begun) != _placeless(study):
        raise InputError(
            f"A study's name must be new in its workspace, but '{study.name}' exists in '{workspace}' with "
            "another config, plan or data. Give another name or --workspace, or the options that it was "
            "begun with."
        )
    return True


def _placeless(study: Study) -> dict[str, Any]:
    described: dict[str, Any] = json.loads(json.dumps(describe_study(study)))
    base = {name: value for name, value in described["base"].items() if name != "data.path"}
    return {**described, "base": base}


def check_effect(study: Study, changes: Mapping[str, Any]) -> None:
    """Refuse changes of a recipe's base config that no trial would differ by.

    Args:
        study: The recipe's study.
        changes: Dotted fields that were changed before the recipe built it.

    Raises:
        InputError: The recipe sets or searches one of the fields itself, or no model of the study reads it.
    """
    base, variants = study.base, study.plan.variants_changes
    for name, value in changes.items():
        if searched := study.plan.searched_fields.get(name):
            raise InputError(
                f"Study '{study.name}' searches {name} itself ({searched}), so {name}={value} would change "
                "nothing. Leave it out, or launch a recipe of your own whose space has no such field."
            )
        kept = base.flat()[name]
        if base.with_changes({name: value}).flat()[name] != kept or all(name in each for each in variants):
            others = dict.fromkeys(str(each.get(name, kept)) for each in variants)
            raise InputError(
                f"Study '{study.name}' sets {name} itself, to {', '.join(others)}, so {name}={value} would "
                "change nothing. Leave it out, or launch another study."
            )
    models = [{"model.name": model} for model in dict.fromkeys(study.plan.models(base))]
    check_read(changes, *(base.with_changes(tried) for tried in (*models, *variants)))


def check_data(study: Study, data: Path) -> None:
    """Refuse data that a study's trials cannot be trained on, before any of them is spent.

    The data may have moved since the study was defined.

    Raises:
        InputError: The data set is damaged, lacks a source that a config picks, or has no cells and a config
            asks for them.
    """
    dataset = read_prepared(data)
    configs = [study.base.with_changes(changes) for changes in study.plan.variants_changes]
    for config in configs:
        check_cells(config, dataset.manifest.kind)
        check_picked(config, dataset.manifest.networks, dataset.manifest.embeddings)
    check_values(dataset)


@dataclass(frozen=True, kw_only=True)
class Stores:
    """Where a study is tracked and its search remembered; empty is in the workspace.

    A password in an address is used, and written nowhere.

    Attributes:
        tracking_uri: Address of an MLflow server or database.
        optuna_storage: Address of a database.
    """

    tracking_uri: str = field(default="", repr=False)
    optuna_storage: str = field(default="", repr=False)


def launch(
    study: Study,
    workspace: Path,
    resources: Resources,
    limits: Limits,
    console: Console,
    stores: Stores | None = None,
    recipe: str = "",
) -> StudyResult:
    """Run a new study in a workspace, made where missing, tracked and shown.

    The recipe that built the study is compared when it is resumed. Stores are the workspace's own if None.

    Raises:
        InputError: A study of this name exists in the workspace or in MLflow, its data are damaged, or a
            store is not used or cannot be opened.
    """
    stores = stores or Stores()
    check_stores(study, stores)
    check_new(study, workspace)
    check_data(study, Path(study.base.data.path))
    tracking = take_apart("--tracking-uri", absolute_address(stores.tracking_uri))
    storage = take_apart("--optuna-storage", absolute_address(stores.optuna_storage))
    with passwords(tracking, storage):
        store = _open_store(study.name, workspace, tracking.address)
        folder = study_folder(workspace, study.name)
        if storage.address:
            check_owner(study.name, _open_storage(storage.address, folder), Owner(str(folder)))
        definition = StudyDefined(
            format=FORMAT,
            study=describe_study(study),
            origin=describe_origin(study),
            recipe=recipe,
            optuna_storage=storage.address,
            git_commit=git_commit(),
            packages=package_versions(),
        )
        with held(folder):
            check_new(study, workspace)  # again: another process may have run it while the stores were opened
            if diff := code_diff():
                write_whole(folder / CODE_DIFF_FILE, diff)
            try:
                ledger = Ledger(folder / LEDGER_FILE)
                ledger.append(definition)
                ledger.close()
                return operate(folder, resources, limits, console, lambda: store)
            except InputError:  # such as no cluster at the address: the name stays free
                if not (folder / TRIALS_FOLDER).exists():
                    shutil.rmtree(folder)
                raise


def check_stores(study: Study, stores: Stores) -> None:
    """Refuse a database of Optuna for a study that Optuna suggests nothing to.

    Raises:
        InputError: There is one.
    """
    if stores.optuna_storage and not study.plan.is_sampled:
        raise InputError(
            f"--optuna-storage keeps what Optuna suggests to a search, but '{study.name}' is a "
            f"{study.plan.noun}, to which it suggests nothing. Leave --optuna-storage out."
        )


def _open_store(name: str, workspace: Path, address: str) -> tuple["MlflowClient", str]:
    """Open the store of a new study: the workspace's, or the one at an address."""
    is_named = bool(address) and name_store(workspace, address)
    uri = tracking_uri(workspace)
    try:
        store = open_store(workspace)
        if has_trials(uri, name):  # readers could not tell them apart
            raise InputError(
                f"A study's name must be new where it is tracked, but {uri} has trials of '{name}' that "
                "were launched from another workspace, or whose folder is gone. Launch under another --name, "
                "or in another --workspace."
            )
        return store
    except Exception as error:  # whatever a server or database that is not there raises
        if is_named:  # a store that was never opened does not bind the workspace
            (workspace / ADDRESS_FILE).unlink()
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"A study is tracked in a store that can be opened, but {uri} cannot: {first_line(error)} Start "
            "the server, or give another --workspace or (launch) --tracking-uri."
        ) from error


def _open_storage(address: str, folder: Path) -> "BaseStorage":
    try:
        return open_storage(address, folder)
    except Exception as error:  # whatever SQLAlchemy or a driver raises
        raise InputError(
            f"--optuna-storage must be a database that can be opened, but {first_line(error)} Start it, "
            "give its password in PGPASSWORD or ~/.pgpass, or leave the option out."
        ) from error


def estimate_seconds(study: Study, resources: Resources) -> float:
    """Estimate a study's wall time from a few epochs of its base config, trained here and now.

    An upper bound, about: trials that are stopped early make it shorter.

    Raises:
        InputError: The data set is damaged, or its config cannot be trained on it.
    """
    check_data(study, Path(study.base.data.path))
    return wall_seconds(study.plan.size * estimate_trial_seconds(study.base, resources), resources)


def wall_seconds(trial_seconds: float, resources: Resources) -> float:
    """Wall time of trials that take so long one after the other, with the executor's start.

    Slots are counted as one: what they gain differs from machine to machine.
    """
    return START_SECONDS[resources.executor] + trial_seconds / resources.n_workers


def estimate_trial_seconds(base: Config, resources: Resources) -> float:
    """Estimate how long a trial takes to its last epoch, from a few epochs trained here and now.

    Raises:
        InputError: The data set is damaged, or the config cannot be trained on it.
    """
    import torch

    from adapert.models.protocol import TrainedInEpochs
    from adapert.registry import build_model
    from adapert.training.fit import begin_fit
    from adapert.training.loop import DivergedError
    from adapert.training.threads import threads

    with threads(resources.cpus_per_trial):
        started = time.perf_counter()
        dataset = read_prepared(Path(base.data.path))
        probe = base.with_changes({"training.max_epochs": PROBE_EPOCHS})
        model = build_model(probe, seed=0, device=torch.device(resources.device))
        fit = begin_fit(model, dataset)
        built = time.perf_counter() - started
        seconds = []
        try:
            while not fit.is_over:
                seconds.append(fit.step()["seconds"])
        except DivergedError as error:
            raise InputError(f"The probe of {PROBE_EPOCHS} epochs must train, but: {error}") from error
    n_epochs = base.training.max_epochs if isinstance(model, TrainedInEpochs) else 1
    # The first epoch also warms caches up.
    return float(built + min(seconds) * n_epochs)


def describe_comparisons(study: Study) -> list[str]:
    """Say what a design's comparisons can show on the validation perturbations; nothing of other plans."""
    plan = study.plan
    if not isinstance(plan, Design) or len(plan.variants) < 2:
        return []
    families, _ = _read_groups(study)
    warnings = [f"Warning: {warning}" for warning in warn_of_comparisons(study)]
    return [describe_power(families, plan.n_seeds), *warnings]


PAIRED_WITH_FULL = ("ablation", "sensitivity")
"""Kinds of designs that compare every variant with one of them."""


def warn_of_comparisons(study: Study) -> list[str]:
    """Warn, before any trial is spent, where a design's comparisons can show little or nothing.

    Returns:
        A sentence each; none of other plans.
    """
    plan = study.plan
    if not isinstance(plan, Design) or plan.kind not in PAIRED_WITH_FULL or len(plan.variants) < 2:
        return []
    families, effect_sizes = _read_groups(study)
    n_tests = _count_corrected(plan, study.base) * (len(set(effect_sizes)) + 1)
    warnings = warn_of_tests(families, plan.n_seeds, n_tests)
    if plan.kind == "ablation":
        full = study.base.with_changes(plan.variants.get(REFERENCE, {}))
        empty = find_empty(full.loss.lambda_non, plan.variants)
        warnings += [empty.sentence] if empty.variants else []
    return warnings


def _read_groups(study: Study) -> tuple[list[str], list[str]]:
    """Read the family and the effect size of each validation perturbation."""
    folder = Path(study.base.data.path) / "validation"
    families, effect_sizes = PerturbationTable.read_fields(folder, "family", "effect_size")
    return families.tolist(), effect_sizes.tolist()


def _count_corrected(plan: Design, base: Config) -> int:
    """Count the comparisons of one group of effect sizes that are corrected together."""
    if plan.kind != "sensitivity":
        return len(plan.variants) - 1
    # Each reading of the loss is a test family of its own, and shares the variant without the loss.
    losses = [base.with_changes(changes).loss for changes in plan.variants.values()]
    readings = Counter(loss.non_deg_reduction for loss in losses if loss.lambda_non > 0)
    return max(readings.values(), default=0)


def print_plan(study: Study, seconds: float, console: Console, is_listed: bool = True) -> None:
    """Print what a study would run, and for how long; where it is not listed, without each variant."""
    console.print(f"{study.name}: {study.question}", style="bold", soft_wrap=True, markup=False)
    console.print(
        f"{format_count(study.plan.size, 'trial')} of at most "
        f"{format_count(study.base.training.max_epochs, 'epoch')}"
    )
    for line in study.plan.describe(study.base) if is_listed else ():
        console.print(line, soft_wrap=True, markup=False)
    console.print(f"at most about {format_seconds(seconds)}, by a probe of {PROBE_EPOCHS} epochs")
