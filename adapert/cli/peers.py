"""The comparison of systems: on each data set a search each, a pick each, and the paired study of all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from adapert.cli.options import split_list
from adapert.cli.printing import console, print_candidates, print_error
from adapert.cli.running import command_line, run_or_resume, run_pick
from adapert.errors import InputError, format_count, name_some

if TYPE_CHECKING:
    from adapert.cli.options import Retraining
    from adapert.config import Config
    from adapert.selection.reevaluate import ReevaluationPlan
    from adapert.study.execution.resources import Resources
    from adapert.study.plan.study import Study


@dataclass(frozen=True, kw_only=True)
class PeersPlan:
    """What is compared on one data set, and with which budgets.

    Attributes:
        name: Name of the comparison.
        data: Name of the data set, which is in the names of all its studies; empty for one without.
        base: Config that every search starts from.
        models: Names of systems, and of models that need no search.
        kind: What the data set was prepared from, ``"cells"`` or ``"responses"``.
        search_budget: Budget of each search, as `Study.with_budget`.
        n_seeds: Seeds of each system on each split; the usual number if None.
        n_splits: Splits of the comparison.
        retraining: How each search's best few are retrained before one is picked.
        options: Limits and stores of the searches, as `adapert.api.launch` takes them.
    """

    name: str
    data: str
    base: "Config"
    models: Sequence[str]
    kind: str = "cells"
    retraining: "ReevaluationPlan"
    search_budget: Mapping[str, Any] = field(default_factory=dict)
    n_seeds: int | None = None
    n_splits: int
    options: Mapping[str, Any] = field(default_factory=dict)

    def build_searches(self) -> "dict[str, Study]":
        """Build the search of each system that has a space: model to study.

        Raises:
            InputError: A model that does not exist, none that is searched, a base config outside a space, or
                one that asks for cells which the data set does not have.
        """
        from adapert.data.sources import check_cells
        from adapert.study.plan.peers import build_peer_search, check_systems, searched_spaces

        spaces = searched_spaces(self.base)
        check_systems(self.models, spaces)
        searches = {
            model: build_peer_search(model, spaces[model], self.base, self.data).with_budget(
                **self.search_budget
            )
            for model in dict.fromkeys(self.models)
            if model in spaces
        }
        for study in searches.values():
            check_cells(study.base, self.kind)
        return searches

    def build_comparison(self, tuned: "Mapping[str, Config]", first_seed: int) -> "Study":
        """Build the comparison of what was picked; arguments as in `adapert.study.plan.peers`."""
        from adapert.study.plan.peers import build_comparison

        study = build_comparison(self.study, self.base, self.models, tuned, first_seed, self.n_splits)
        return study.with_budget(n_seeds=self.n_seeds)

    @property
    def study(self) -> str:
        """Name of the paired study."""
        from adapert.study.plan.peers import name_comparison

        return name_comparison(self.name, self.data)

    def config_file(self, workspace: Path, model: str) -> Path:
        """Where the picked config of a system is written."""
        return workspace / f"{f'{self.data}_' if self.data else ''}{model}.yaml"


def parse_data(given: Sequence[str]) -> dict[str, Path | None]:
    """Read ``NAME=DIR`` or ``DIR`` each: name of a data set to its directory.

    One alone without a name has none, and neither has the one that a config file may name (None); of several,
    each without a name has its directory's.

    Raises:
        InputError: No name before the ``=``, or one that is given twice.
    """
    from adapert.data.sources import parse_named

    def check(name: str, text: str) -> None:
        if not name.strip() or not text or text.endswith("="):
            raise InputError(f"A data set is given as DIR or NAME=DIR, but it is '{text}'. Give both.")

    if not given:
        return {"": None}
    if len(given) == 1 and ("=" not in given[0] or "/" in given[0].partition("=")[0]):
        return {"": Path(given[0])}
    named = parse_named(given, "data set", "--data NAME=DIR", lambda path: path.absolute().name, check)
    return {name: Path(path) for name, path in named.items()}


def plan_peers(
    base: "Config",
    retraining: "Retraining",
    search_budget: Mapping[str, Any],
    name: str = "peers",
    models: Sequence[str] | None = None,
    n_seeds: int | None = None,
    n_splits: int | None = None,
    options: Mapping[str, Any] | None = None,
    data: str = "",
) -> PeersPlan:
    """Plan a comparison from what was typed; None is the usual.

    All models are compared unless some are named, of a table of responses those that need no cells.

    Raises:
        InputError: A study's name that makes no folder, or no data set where the base config says.
    """
    from adapert.data.manifest import read_manifest
    from adapert.study.plan.peers import N_SPLITS
    from adapert.study.plan.study import check_name

    check_name(name)
    kind = read_manifest(Path(base.data.path)).kind if base.data.path else PeersPlan.kind
    return PeersPlan(
        name=name,
        data=data,
        base=base,
        models=_trainable_models(kind) if models is None else split_list("--models", models),
        kind=kind,
        retraining=retraining.plan(),
        search_budget=search_budget,
        n_seeds=n_seeds,
        n_splits=N_SPLITS if n_splits is None else n_splits,
        options=options or {},
    )


def _trainable_models(kind: str) -> list[str]:
    """Name every model, but those of single cells where the data set has none."""
    from adapert.config import OF_CELLS, model_names

    if kind == "cells":
        return list(model_names())
    console.print(
        f"The data set has no single cells, which leaves out {name_some(sorted(OF_CELLS))}.", soft_wrap=True
    )
    return [name for name in model_names() if name not in OF_CELLS]


def run_peers(plan: PeersPlan, workspace: Path, resources: "Resources") -> int:
    """Search, pick and compare; repeated after a crash, it continues where it was.

    Returns:
        Number of failed trials.

    Raises:
        InputError: As `check_peers`, or a search has no finished trial.
        typer.Exit: A study was left before its end.
    """
    from adapert.config import write_config
    from adapert.study.plan.peers import PEERS

    searches = check_peers(plan, workspace)
    n_failed = sum(
        run_or_resume(study, workspace, resources, PEERS, **plan.options) for study in searches.values()
    )
    kept = without_failed(plan, searches, workspace)
    for model in [model for model in searches if model not in kept.models]:
        print_error(
            f"'{model}' is left out of the comparison: every trial of its search failed. See why: "
            f"{command_line(workspace, 'status', searches[model].name)}"
        )
    tuned = [model for model in searches if model in kept.models]
    picks = {}
    for model in tuned:
        picks[model] = run_pick(searches[model].name, workspace, plan=plan.retraining)
        print_candidates(picks[model])
    for model, picked in picks.items():
        write_config(picked.config, plan.config_file(workspace, model))
    # No seed by which a config was found or picked.
    first_seed = max(picked.next_seed for picked in picks.values()) + plan.retraining.n_fresh_seeds
    comparison = kept.build_comparison({model: picked.config for model, picked in picks.items()}, first_seed)
    n_failed += sum(picked.n_failed for picked in picks.values())
    return n_failed + run_or_resume(comparison, workspace, resources, PEERS, **_of_comparison(plan.options))


def run_comparisons(plans: Sequence[PeersPlan], workspace: Path, resources: "Resources") -> None:
    """Compare on one data set after the other, as `run_peers`; all are checked before the first trial.

    Raises:
        InputError: As `run_peers`, or two data sets that are the same or whose studies would share a name.
        typer.Exit: A trial failed.
    """
    from adapert.study.execution.on_ray import one_ray

    check_comparisons(plans)
    for plan in plans:
        check_peers(plan, workspace)
    with one_ray():
        n_failed = sum(run_peers(plan, workspace, resources) for plan in plans)
    _print_next(plans, workspace)
    if n_failed:
        raise typer.Exit(1)


def check_comparisons(plans: Sequence[PeersPlan]) -> None:
    """Refuse data sets that are the same, or whose studies would share a name.

    Raises:
        InputError: There are two of them.
    """
    from adapert.study.plan.peers import check_data_names

    by_fingerprint: dict[str, str] = {}
    for plan in plans:
        fingerprint = plan.base.data.fingerprint
        if (other := by_fingerprint.setdefault(fingerprint, plan.data)) != plan.data:
            raise InputError(
                f"Data sets to compare on must differ, but '{other}' and '{plan.data}' have the same "
                f"fingerprint, {fingerprint}. Name each once."
            )
    if named := [plan.data for plan in plans if plan.data]:
        check_data_names(named, plans[0].name, plans[0].build_searches())


def _print_next(plans: Sequence[PeersPlan], workspace: Path) -> None:
    """Print the commands that show comparisons, and that open the test split of each data set."""
    shown = command_line(workspace, "figures", *(plan.study for plan in plans))
    console.print(f"Next: {shown}", soft_wrap=True)
    for plan in plans:
        searches = plan.build_searches()
        kept = without_failed(plan, searches, workspace).models
        files = [str(plan.config_file(workspace, model)) for model in searches if model in kept]
        of = f" of {plan.data}" if plan.data else ""
        console.print(f"On the test split{of}: {command_line(workspace, 'evaluate', *files)}", soft_wrap=True)


def print_comparisons(plans: Sequence[PeersPlan], resources: "Resources") -> None:
    """Print all that comparisons would run, and for how long.

    Raises:
        InputError: As `run_comparisons`.
    """
    from adapert.workspace.progress import format_seconds

    check_comparisons(plans)
    for plan in plans:
        plan.build_searches()
    total = sum(_print_plan(plan, resources) for plan in plans)
    console.print(f"all of it: at most about {format_seconds(total)}", style="bold")


def _print_plan(plan: PeersPlan, resources: "Resources") -> float:
    """Print what is run on one data set; return its seconds."""
    from adapert.study.plan.peers import published_config
    from adapert.workspace.launch import estimate_trial_seconds, print_plan, wall_seconds

    searches = plan.build_searches()
    tuned = {model: study.base for model, study in searches.items()}
    comparison = plan.build_comparison(tuned, first_seed=1)
    a_trial = {
        model: estimate_trial_seconds(published_config(model, plan.base), resources)
        for model in dict.fromkeys(plan.models)
    }
    total = 0.0
    retraining = plan.retraining
    for model, study in searches.items():
        seconds = wall_seconds(study.plan.size * a_trial[model], resources)
        print_plan(study, seconds, console)
        top = min(retraining.top, study.plan.size)
        n_again = top * (retraining.n_fresh_seeds + retraining.n_redraws)
        console.print(
            f"then at most {format_count(n_again, 'trial')} of its best {top}, on fresh seeds and redrawn "
            "splits, before one is picked",
            soft_wrap=True,
        )
        total += seconds + wall_seconds(n_again * a_trial[model], resources)
    assignments = comparison.plan.assignments
    models = [str(each.changes.get("model.name", plan.base.model.name)) for each in assignments]
    seconds = wall_seconds(sum(a_trial[model] for model in models), resources)
    print_plan(comparison, seconds, console, is_listed=False)
    console.print(
        f"{format_count(len(searches), 'system')} as published and as picked, "
        f"{format_count(len(a_trial) - len(searches), 'model')} without a search, each on "
        f"{format_count(plan.n_splits, 'split')}; several seeds where they matter",
        soft_wrap=True,
    )
    return total + seconds


def check_peers(plan: PeersPlan, workspace: Path) -> "dict[str, Study]":
    """Refuse, before any trial is spent, a comparison that cannot be made, or another than was begun.

    Returns:
        System to its search.

    Raises:
        InputError: As `PeersPlan.build_searches`, or a study of the same name has another config, plan or
            data.
    """
    from adapert.workspace.launch import is_begun

    searches = plan.build_searches()
    _check_comparison(without_failed(plan, searches, workspace), searches, workspace)
    for study in searches.values():
        is_begun(study, workspace)
    return searches


def _check_comparison(plan: PeersPlan, searches: "Mapping[str, Study]", workspace: Path) -> None:
    from adapert.statistics.pairs import model_of
    from adapert.study.engine.folders import study_folder
    from adapert.study.engine.ledger import LEDGER_FILE
    from adapert.study.engine.state import read_state
    from adapert.study.plan.study import Design

    tuned = {model: study.base for model, study in searches.items() if model in plan.models}
    planned = plan.build_comparison(tuned, first_seed=1)
    folder = study_folder(workspace, plan.study)
    if not (folder / LEDGER_FILE).exists():
        return
    begun = read_state(folder).study.plan
    assert isinstance(planned.plan, Design)
    variants = list(begun.variants) if isinstance(begun, Design) else []
    if set(variants) != set(planned.plan.variants):
        systems = ", ".join(dict.fromkeys(map(model_of, variants)))
        raise InputError(
            f"A comparison keeps its systems and splits, but '{plan.study}' in '{workspace}' was begun with "
            f"others ({systems}). Give another --name: the searches are shared, and none is run again."
        )


def without_failed(plan: PeersPlan, searches: "Mapping[str, Study]", workspace: Path) -> PeersPlan:
    """Leave out the systems of whose searches every trial failed, unless that is all of them."""
    from adapert.records import TrialStatus
    from adapert.study.engine.folders import study_folder
    from adapert.study.engine.ledger import LEDGER_FILE
    from adapert.study.engine.state import read_state

    failed = set()
    for model, study in searches.items():
        folder = study_folder(workspace, study.name)
        if (folder / LEDGER_FILE).exists():
            statuses = {record.status for record in read_state(folder).records.values()}
            failed |= {model} if statuses == {TrialStatus.FAILED} else set()
    if failed == searches.keys():
        return plan
    return replace(plan, models=[model for model in plan.models if model not in failed])


def _of_comparison(options: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out the limits and Optuna's database: they are of each search."""
    return {"stores": replace(options["stores"], optuna_storage="")} if "stores" in options else {}
