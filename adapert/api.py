"""What the commands do, as eleven functions for Python: ``import adapert; adapert.launch(...)``.

Each takes paths as strings or `pathlib.Path`, and raises `adapert.errors.InputError` where the command would
print one sentence and exit with status 2. What was guessed, left out or done is logged under ``adapert`` at
level INFO, and what a caller must know at WARNING: docs/python.md shows how to see both. Only `launch` does
more than its command: it resumes a study of the same name, config and plan, where the command asks for
`resume`.
"""

import math
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from adapert.arguments import (
    AnyPath,
    Budget,
    answer_arguments,
    check_configs,
    check_fields,
    check_file,
    check_files,
    check_folder,
    check_folders,
    check_kind,
    check_mapping,
    check_name,
    check_names,
    check_optional_file,
    check_optional_folder,
    check_split,
    check_word,
)
from adapert.errors import InputError, join_words, nearest
from adapert.process import settings_put_back

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from adapert.comparison.assess import Assessment
    from adapert.comparison.pair import PairComparison
    from adapert.comparison.plan import ComparisonPlan
    from adapert.data.prepared import PreparedDataset
    from adapert.prediction.predictions import Predictions
    from adapert.prediction.rerun import RerunResult
    from adapert.results.study import StudyResults
    from adapert.selection.rank import Pick
    from adapert.selection.reevaluate import ReevaluationPlan
    from adapert.study.engine.limits import Limits
    from adapert.study.execution.resources import Resources
    from adapert.study.plan.study import Study
    from adapert.workspace.launch import Stores
    from adapert.workspace.session import StudyResult
    from analysis.figures.page import Style
    from analysis.findings.finding import Findings

# Torch, Ray and MLflow take seconds to import: each function imports what it needs, when it is called.

WORKSPACE = "runs"
"""Default directory of the studies and the MLflow store."""

MAIN, ALL = "main", "all"
"""Sets of columns of `load_trials`."""


def _choice_names() -> Collection[str]:
    from adapert.data.choices import PrepareChoices

    return get_type_hints(PrepareChoices)


@answer_arguments(more=_choice_names)
@settings_put_back()
def prepare(
    cells: AnyPath,
    network: AnyPath | Mapping[str, AnyPath],
    embeddings: AnyPath | Mapping[str, AnyPath],
    out: AnyPath,
    *,
    network_info: AnyPath | None = None,
    aliases: AnyPath | None = None,
    split_file: AnyPath | None = None,
    families: AnyPath = "network",
    **choices: Any,
) -> "PreparedDataset":
    """Read, check and normalise cells (or responses), networks and embeddings into one data set.

    Args:
        cells: .h5ad of cells, or of responses with ``kind="responses"``.
        network: Table ``gene_a gene_b score``, STRING's links, gene sets (.gmt) or embeddings; several as
            ``{"string": path, "go": path}``, of which the first is what models read by default.
        embeddings: .npz, csv, tsv, parquet, GenePT's pickle, or .h5ad of another screen's responses; several
            as networks.
        out: New directory for the data set.
        network_info: STRING's info file; found next to the links.
        aliases: Table of pairs of symbols of one gene.
        split_file: Saved split, instead of a drawn one.
        families: How perturbations that respond alike are grouped: ``"network"``, ``"responses"`` or the path
            of gene sets (.gmt). Intervals and tests allow for families; no model reads them.
        **choices: Fields of `PrepareChoices`, such as ``split_seed=1``; ``where`` may be one condition.

    Returns:
        The data set with all its splits; studies read it from `out`, and never the test split.

    Raises:
        InputError: A file that is not there or not what it should be, a choice that does not exist, or `out`
            exists.
    """
    from adapert.data.choices import PrepareChoices
    from adapert.data.families import NETWORK, RESPONSES
    from adapert.data.prepare import prepare as prepare_data
    from adapert.files import check_new_directory

    if isinstance(where := choices.get("where"), str):
        choices["where"] = (where,)
    chosen = check_fields("choices", choices, get_type_hints(PrepareChoices))
    check_new_directory(folder := check_folder("out", out))
    return prepare_data(
        check_file("cells", cells),
        check_files("network", network),
        check_files("embeddings", embeddings),
        PrepareChoices(**chosen),
        network_info=check_optional_file("network_info", network_info),
        aliases=check_optional_file("aliases", aliases),
        split_file=check_optional_file("split_file", split_file),
        families=families if families in (NETWORK, RESPONSES) else check_file("families", families),
        out=folder,
    )


@answer_arguments()
@settings_put_back()
def launch(
    study: "AnyPath | Study",
    data: AnyPath | None = None,
    workspace: AnyPath = WORKSPACE,
    *,
    name: str | None = None,
    config: AnyPath | None = None,
    changes: Mapping[str, Any] | None = None,
    budget: Budget | None = None,
    executor: str | None = None,
    resources: "Resources | None" = None,
    limits: "Limits | None" = None,
    stores: "Stores | None" = None,
    console: "Console | None" = None,
    recipe: str = "",
) -> "StudyResult":
    """Run a study, or resume it where it was begun, with its runs in MLflow.

    Args:
        study: A recipe's name, the path of a recipe (.py), or a whole `Study`, whose base has its data.
        data: Prepared data set; the one that `config` names if None.
        workspace: Directory of the studies and the MLflow store.
        name: Name of the study; the recipe's if None.
        config: YAML config to start from, or the name of a preset (``"paper"``).
        changes: Dotted config fields on top: ``{"model.tau": 0.5}``.
        budget: How much is tried, such as ``{"n_trials": 32}`` for a search.
        executor: ``"ray"`` runs trials side by side, ``"local"`` one after the other in this process, without
            Ray. None takes that of `resources`, or local for a single trial and ``"quickstart"``, else Ray.
        resources: What the study may use; a core per trial, or a GPU if there is one.
        limits: When it ends early.
        stores: MLflow and Optuna stores other than the workspace's own, for a new study.
        console: Where progress is shown; nowhere if None.
        recipe: Recipe that a whole `Study` was built by, to be compared when it is resumed.

    Raises:
        InputError: No such recipe or data, a wrong field, what a whole `Study` has itself, or another study
            of this name.
    """
    from rich.console import Console

    from adapert.config import Config
    from adapert.study.engine.limits import Limits
    from adapert.study.execution.resources import (
        EXECUTORS,
        Resources,
        build_resources,
        restore_resources,
        usual_executor,
    )
    from adapert.study.plan.first_rung import parse_first_rung
    from adapert.study.plan.recipes import build_study, locate_recipe
    from adapert.study.plan.study import Study
    from adapert.workspace.launch import Stores, build_base, check_effect, is_begun
    from adapert.workspace.launch import launch as launch_study
    from adapert.workspace.resume import resume as resume_study

    if executor is not None:
        check_word("executor", executor, EXECUTORS)
    for argument, given, kind, cure in (
        ("resources", resources, Resources, "adapert.study.execution.resources.build_resources"),
        ("limits", limits, Limits, "adapert.study.engine.limits.Limits(seconds=60)"),
        ("stores", stores, Stores, "adapert.workspace.launch.Stores(tracking_uri=...)"),
    ):
        check_kind(argument, given, kind, f"Make them by {cure}.", is_optional=True)
    if name is not None:
        name = check_name("name", name)
    check_kind(
        "study", study, (str, Path, Study), "Name a recipe, such as 'search', or the path of your own."
    )
    folder = check_folder("workspace", workspace)
    changed = check_mapping("changes", changes)
    tried = check_fields("budget", budget, get_type_hints(Budget), list(Config().flat()))
    if (min_epochs := tried.pop("min_epochs", None)) is not None:
        tried["first_rung"] = parse_first_rung(min_epochs)
    if isinstance(study, Study):
        _refuse_beside_whole(data=data, name=name, config=config, changes=changes, budget=budget)
    else:
        named, place = str(study), check_optional_folder("data", data)
        base = build_base(place, check_optional_file("config", config), changed, folder)
        study, recipe = build_study(named, base).with_budget(**tried), locate_recipe(named)
        study = study if name is None else replace(study, name=name)
        check_effect(study, changed)
    shown = console or Console(quiet=True)
    if resources and executor:
        resources = restore_resources(asdict(resources), {"executor": executor})
    if is_begun(study, folder):
        used = asdict(resources) if resources else {"executor": executor}
        ends = asdict(limits) if limits else {}
        return resume_study(folder, study.name, shown, used, ends, data=Path(study.base.data.path))
    usual = usual_executor(recipe, study.plan.size)
    chosen = resources or build_resources(executor=executor, usual=usual)
    return launch_study(study, folder, chosen, limits or Limits(), shown, stores, recipe)


@answer_arguments()
@settings_put_back()
def load_trials(
    study: str, workspace: AnyPath = WORKSPACE, *, columns: str | Sequence[str] = MAIN
) -> "pd.DataFrame":
    """Load a row a trial: what it tried, how it ended, and what it reached.

    Args:
        study: Its name.
        workspace: Directory of the studies and the MLflow store.
        columns: ``"main"``: the trial, its seed and state, the config fields that differ between trials, the
            best validation metrics and its cost. ``"all"``: the whole config under dotted names, and the last
            value of every metric, as `adapert.results.study.StudyResults.frame`. Or names of columns.

    Raises:
        InputError: No such study or column, or a damaged ledger.
    """
    from adapert.results.study import main_columns

    # Copies: the frame is cached, and callers may change theirs.
    frame, names = _open(study, workspace).frame, check_names("columns", columns)
    if names == [ALL]:
        return frame.copy()
    if names == [MAIN]:
        return frame[main_columns(frame)].copy()
    for name in names:
        if name not in frame:
            raise InputError(f"Trials have no column '{name}'.{nearest(name, [MAIN, ALL, *frame.columns])}")
    return frame[names].copy()


@answer_arguments()
@settings_put_back()
def load_metrics(study: str, workspace: AnyPath = WORKSPACE) -> "pd.DataFrame":
    """Load the long table of a study's finished trials: a row a trial, perturbation and metric.

    Args:
        study: Its name.
        workspace: Directory of the studies and the MLflow store.

    Returns:
        `adapert.records.LONG_COLUMNS`, ``lambda_non`` and ``non_deg_reduction``.

    Raises:
        InputError: No such study, or no finished trial.
    """
    from adapert.results.load import load_per_perturbation

    return load_per_perturbation(_open(study, workspace))


@answer_arguments()
@settings_put_back()
def pick(
    study: str,
    workspace: AnyPath = WORKSPACE,
    *,
    objective: str = "pearson_delta",
    plan: "ReevaluationPlan | None" = None,
    is_reevaluated: bool = True,
    resources: Mapping[str, Any] | None = None,
    data: AnyPath | None = None,
    console: "Console | None" = None,
) -> "Pick":
    """Pick a study's best config on validation, and log its model with MLflow.

    Args:
        study: Its name.
        workspace: Directory of the studies and the MLflow store.
        objective: One of `adapert.selection.rank.OBJECTIVES`.
        plan: How the best few are retrained before one is picked; 3 configs, 3 seeds and 2 splits if None.
        is_reevaluated: Whether they are; else the best so far is picked at once.
        resources: Fields of `Resources` for that; the others are as the study had them.
        data: Prepared data set of the study, where it has moved since.
        console: Where progress is shown; nowhere if None.

    Raises:
        InputError: No such study, no finished trial in it, or `plan` or `resources` where none is retrained.
        UnfinishedError: Retraining was interrupted; picking again continues it.
    """
    from adapert.prediction.tracked import keep_picked_model
    from adapert.results.find import open_study
    from adapert.selection.reevaluate import (
        ReevaluationPlan,
        keep_pick,
        pick_config,
        rank_with_intervals,
        warn_of_replaced,
    )
    from adapert.study.execution.resources import Resources

    cure = "Make it by adapert.selection.reevaluate.ReevaluationPlan(top=3)."
    check_kind("plan", plan, ReevaluationPlan, cure, is_optional=True)
    used = check_fields("resources", resources, get_type_hints(Resources))
    folder = check_folder("workspace", workspace)
    study, place = check_name("study", study), check_optional_folder("data", data)
    if is_reevaluated:
        picked = pick_config(folder, study, objective, plan, used, console, place)
    else:
        _refuse_retraining(plan=plan, resources=used)
        results = open_study(folder, study)
        warn_of_replaced(folder, results)
        picked = rank_with_intervals(results, objective)
    # The record of the pick comes last: a pick that was killed before it does not count.
    keep_picked_model(folder, study, picked.trials, place)
    keep_pick(folder, study, picked)
    return picked


@answer_arguments()
@settings_put_back()
def evaluate(
    config: AnyPath | Sequence[AnyPath] | None = None,
    data: AnyPath | None = None,
    workspace: AnyPath = WORKSPACE,
    *,
    plan: "ComparisonPlan | None" = None,
    changes: Mapping[str, Any] | None = None,
    again: bool = False,
    out: AnyPath | None = None,
    emit: tuple[AnyPath, AnyPath] | None = None,
    predictions: Mapping[str, AnyPath] | None = None,
) -> "Assessment":
    """Refit models, open a split and compute every metric, next to reference models.

    Every access to the test split is counted.

    Args:
        config: YAML config or preset, or several, for all of which a split is opened once; the defaults if
            None.
        data: Prepared data set; the one that `config` names if None.
        workspace: Its studies may have tried the configs, and its ledger counts the accesses.
        plan: Models, split, seeds, refit, another data set to score on (``on``); three seeds of every model
            on the test split of their own data if None.
        changes: Dotted config fields on top, of each config.
        again: Whether to open a test split that was opened before.
        out: New directory for the results; else the next free one of the workspace.
        emit: New files for predicted and real cells of the one model that is compared, for cell-eval.
        predictions: Name to .h5ad file of another model's deltas or cells, each a row beside the models.

    Raises:
        InputError: No data set, configs that do not compare, predictions that do not fit the data, a
            test split that was opened before, or an output that exists.
        DivergedError: A loss or prediction became NaN or infinite.
    """
    from adapert.comparison.assess import evaluate_configs
    from adapert.comparison.plan import ComparisonPlan
    from adapert.workspace.launch import build_base

    cure = "Make it by adapert.comparison.plan.ComparisonPlan(split='test')."
    check_kind("plan", plan, ComparisonPlan, cure, is_optional=True)
    if plan is not None:
        check_word("split", plan.split, ("test", "validation"))
        plan = replace(plan, on=check_optional_folder("on", plan.on))
    cure = "Give two new files, of predicted and of real cells."
    check_kind("emit", emit, tuple, cure, is_optional=True)
    if emit is not None and len(emit) != 2:
        raise InputError(f"'emit' must be two files, but it is {len(emit)}. {cure}")
    changed = check_mapping("changes", changes)
    folder = check_folder("workspace", workspace)
    place = check_optional_folder("data", data)
    configs = {
        "" if file is None else file.stem: build_base(place, file, changed, folder)
        for file in check_configs(config)
    }
    return evaluate_configs(
        configs,
        plan or ComparisonPlan(split="test"),
        folder,
        again=again,
        out=check_optional_folder("out", out),
        emit=emit and (check_file("emit", emit[0]), check_file("emit", emit[1])),
        predictions=_predicted_files(predictions),
    )


@answer_arguments()
@settings_put_back()
def compare(first: AnyPath, second: AnyPath, workspace: AnyPath = WORKSPACE) -> "PairComparison":
    """Compare two trials, picked configs or config files: their fields, and their metrics in pairs.

    Args:
        first: A trial's run id, ``"search/007"``, a study's name (its picked config, else its best trial), or
            a config file or preset, whose trials are those that any study of the workspace had of it.
        second: The same; differences are second minus first.
        workspace: Directory of the studies and the MLflow store.

    Returns:
        Frames of the fields that differ, of the metrics and of the perturbations, and what they say in words.

    Raises:
        InputError: No such trial, study or config.
    """
    from adapert.comparison.pair import compare_pair

    first, second = (
        os.fspath(given) if isinstance(given, os.PathLike) else given for given in (first, second)
    )
    folder = check_folder("workspace", workspace)
    return compare_pair(folder, check_name("first", first), check_name("second", second))


@answer_arguments()
@settings_put_back()
def predict(
    run: str,
    perturbations: str | Sequence[str],
    workspace: AnyPath = WORKSPACE,
    *,
    data: AnyPath | None = None,
) -> "Predictions":
    """Predict perturbations with a tracked model; no observed response is read.

    Args:
        run: A trial's run id, ``"search/007"``, or a study's name: its picked model, else a trial of its
            picked config, else its best trial.
        perturbations: Genes, or genes joined by ``+``; one alone may be a string.
        workspace: Directory of the studies and the MLflow store.
        data: Prepared data set of the trial, where it has moved since.

    Raises:
        InputError: No such store or run, or a gene that the model does not know.
    """
    from adapert.prediction.tracked import predict_run
    from adapert.results.find import is_study_name, open_study
    from adapert.selection.decide import picked_trial

    asked = check_names("perturbations", perturbations)
    folder, run, place = (
        check_folder("workspace", workspace),
        check_name("run", run),
        check_optional_folder("data", data),
    )
    if is_study_name(run) and not (study := open_study(folder, run)).picked_model():
        run = picked_trial(folder, study) or run
    return predict_run(folder, run, asked, place)


@answer_arguments()
@settings_put_back()
def rerun(run: str, workspace: AnyPath = WORKSPACE, *, data: AnyPath | None = None) -> "RerunResult":
    """Run a tracked trial again, and compare its metrics with what was tracked.

    Args:
        run: A trial's run id, ``"search/007"``, or a study's name, which stands for its best trial.
        workspace: Directory of the studies and the MLflow store.
        data: Prepared data set of the trial, where it has moved since.

    Raises:
        InputError: No such store or run, or other data than the trial's.
        RerunError: The trial failed, such as by a loss that is not finite.
    """
    from adapert.prediction.rerun import rerun_trial

    return rerun_trial(
        check_folder("workspace", workspace), check_name("run", run), check_optional_folder("data", data)
    )


@dataclass(frozen=True)
class Drawn:
    """Figures and tables that were written.

    Attributes:
        paths: Files, each figure's PNG first.
        claims: The paper's claims next to the estimates; None without an ablation or sensitivity study.
    """

    paths: list[Path] = field(default_factory=list)
    claims: "pd.DataFrame | None" = None


@answer_arguments()
@settings_put_back()
def draw_figures(
    studies: str | Sequence[str] = (),
    workspace: AnyPath = WORKSPACE,
    out: AnyPath | None = None,
    *,
    split: str = "validation",
    data: AnyPath | None = None,
    evaluation: AnyPath | Mapping[str, AnyPath] | None = None,
    peers: AnyPath | Mapping[str, AnyPath] | None = None,
    perturbation: str | None = None,
    pathways: AnyPath | None = None,
    deg_change: float | None = None,
    only: str | Collection[str] = (),
    style: str = "screen",
) -> Drawn:
    """Draw the figures and tables of studies, of a data set, or of evaluations.

    Args:
        studies: Their names, or one; their figures are kept with them in MLflow too.
        workspace: Directory of the studies and the MLflow store.
        out: Directory; ``figures`` in the workspace if None.
        split: Which perturbations the studies' figures show: validation.
        data: Prepared data set: Figures 6 to 8, Tables 4 to 7.
        evaluation: Folder of an evaluation: Figures 1 and 9, Tables 1 to 3. With its `data` named too,
            Figure 8 follows its model's strongest genes. Several, as ``{"k562": path, "rpe1": path}``, get
            Tables 1 and 2 side by side, and nothing else.
        peers: Study folder of a comparison of systems, such as of another workspace, or several by name:
            beside those among `studies` in their tables of several data sets, and in nothing else.
        perturbation: Shown in Figures 1 and 9; if None, one is chosen by a rule that their captions state.
        pathways: GMT file of gene sets, for Figure 9 and a table of all perturbations.
        deg_change: Absolute change above which Figure 7 counts a gene as a DEG, .1 in the paper's; if None,
            the data set's DEGs count.
        only: Names of figures and tables, or one; empty takes all.
        style: What the figures are drawn for: ``paper`` (85 or 180 mm wide, words that can be edited, title
            and caption beside the figure as ``.txt`` and ``.tex``), ``screen`` (title and caption in the
            picture) or ``slide`` (16:9, larger type, caption beside the figure).

    Raises:
        InputError: No source, one that has nothing to show, an option without what it is about, a name that
            no figure or table has, or another style.
    """
    from adapert.results.find import open_study
    from analysis.figures.page import STYLES
    from analysis.figures.recipes import figure_stems
    from analysis.sources import (
        TABLE_STEMS,
        draw_data,
        draw_evaluation,
        draw_evaluations,
        draw_joined_tables,
        join_comparisons,
        open_comparison,
    )

    check_split(split)
    studies, wanted = check_names("studies", studies), tuple(check_names("only", only))
    for stem in wanted:
        check_word("only", stem, (*figure_stems(), *TABLE_STEMS))
    check_word("style", style, STYLES)
    chosen = STYLES[style]
    evaluations = check_folders("evaluation", evaluation)
    for name, value in (("perturbation", perturbation), ("pathways", pathways)):
        if value is not None and not evaluations:
            raise InputError(f"--{name} is about an evaluation, but none was named. Add --evaluation FOLDER.")
    if deg_change is not None:
        _check_deg_change(deg_change, data)
    for name, value in (("data", data), ("perturbation", perturbation), ("pathways", pathways)):
        if value is not None and len(evaluations) > 1:
            raise InputError(
                f"--{name} goes with one evaluation, but {len(evaluations)} were named. Leave it out, "
                "or name one."
            )
    comparisons = check_folders("peers", peers)
    if not studies and data is None and not evaluations and not comparisons:
        raise InputError(
            "Figures need a source, but none was named. "
            "Name studies, or a folder with --data, --evaluation or --peers."
        )
    folder = check_folder("workspace", workspace)
    directory = check_optional_folder("out", out) or folder / "figures"
    prepared = check_optional_folder("data", data)
    evaluated = next(iter(evaluations.values())) if len(evaluations) == 1 else None
    gene_sets = check_optional_file("pathways", pathways)
    paths, claims = list[Path](), None
    opened = [open_study(folder, name) for name in dict.fromkeys(studies)]
    joined = join_comparisons(opened, {name: open_comparison(path) for name, path in comparisons.items()})
    if studies:
        paths, claims = _draw_studies(folder, opened, directory, split, wanted, chosen)
    if joined:
        paths += draw_joined_tables(joined, directory, split, wanted)
    if prepared is not None:
        paths += draw_data(prepared, directory, evaluated, wanted, deg_change, chosen)
    if evaluated is not None:
        paths += draw_evaluation(evaluated, directory, perturbation, gene_sets, wanted, chosen)
    elif evaluations:
        paths += draw_evaluations(evaluations, directory, wanted)
    return Drawn(paths, claims)


@dataclass(frozen=True)
class Reported:
    """A report that was written.

    Attributes:
        path: The HTML file.
        findings: What it begins with, a sentence each, and what weakens them.
    """

    path: Path
    findings: "Findings"


@answer_arguments()
@settings_put_back()
def write_report(
    studies: str | Sequence[str],
    workspace: AnyPath = WORKSPACE,
    out: AnyPath | None = None,
    *,
    split: str = "validation",
) -> Reported:
    """Report what studies found, asked, ran and cost, on one HTML page that needs no network.

    Args:
        studies: Their names, or one; the page is kept with each of them in MLflow too, whose descriptions
            begin with the findings.
        workspace: Directory of the studies and the MLflow store.
        out: HTML file; ``report.html`` in the workspace if None.
        split: Which perturbations figures and tables show: validation.

    Raises:
        InputError: No such study, none at all, another split, or a file that cannot be written.
    """
    from adapert.study.engine.folders import copy_findings, copy_report, study_folder
    from adapert.tracking.runs import keep_findings, keep_report
    from adapert.tracking.store import tracking_uri
    from adapert.tracking.summary import describe_findings
    from analysis.report.content import build_report
    from analysis.report.page import write_page

    check_split(split)
    studies = check_names("studies", studies)
    if not studies:
        raise InputError("A report is about studies, but none was named. Name one.")
    folder = check_folder("workspace", workspace)
    path = check_optional_file("out", out) or folder / "report.html"
    report = build_report(folder, studies, split)
    page = write_page(report, path)
    note = describe_findings(report.findings.sentences, report.made_at)
    for study in studies:
        copy_report(study_folder(folder, study), page)
        copy_findings(study_folder(folder, study), note)
    keep_report(tracking_uri(folder), studies, page)
    keep_findings(tracking_uri(folder), studies, note)
    return Reported(path, report.findings)


def _draw_studies(
    workspace: Path,
    studies: "Sequence[StudyResults]",
    directory: Path,
    split: str,
    only: tuple[str, ...],
    style: "Style",
) -> "tuple[list[Path], pd.DataFrame | None]":
    from adapert.study.engine.folders import copy_figures, study_folder
    from adapert.tracking.runs import keep_figures
    from adapert.tracking.store import tracking_uri
    from analysis.claims import CLAIMS_STEM
    from analysis.figures.recipes import draw_figures as draw_study_figures
    from analysis.figures.recipes import figure_stems
    from analysis.sources import draw_study_tables, summarize_study_claims, write_claims

    paths: list[Path] = []
    if not only or set(only) & set(figure_stems()):
        drawn = draw_study_figures(studies, directory, split, only, style)
        for study, files in drawn.items():
            copy_figures(study_folder(workspace, study), files)
        keep_figures(tracking_uri(workspace), drawn)
        paths += [path for files in drawn.values() for path in files]
    paths += draw_study_tables(studies, directory, split, only)
    claims = None if only and CLAIMS_STEM not in only else summarize_study_claims(studies, split)
    if claims is not None:
        paths += write_claims(claims, directory)
    return paths, claims


def _refuse_beside_whole(**given: object) -> None:
    """Refuse what builds a recipe's study: a whole one would silently ignore it."""
    if names := [name for name, value in given.items() if value]:
        raise InputError(
            f"A whole Study has its own data, name, config and budget, but {', '.join(names)} came with it. "
            "Change its base by Config.with_changes and its plan by Study.with_budget, or name a recipe."
        )


def _refuse_retraining(**given: object) -> None:
    """Refuse what is about retraining, for a pick that retrains nothing."""
    if names := [name for name, value in given.items() if value]:
        raise InputError(
            f"A pick at once retrains nothing, but {join_words(names)} came with is_reevaluated=False. Leave "
            "out the one or the other."
        )


def _open(study: str, workspace: AnyPath) -> "StudyResults":
    from adapert.results.find import open_study

    return open_study(check_folder("workspace", workspace), check_name("study", study))


def _check_deg_change(change: float, data: AnyPath | None) -> None:
    if data is None:
        raise InputError("--deg-change is about a data set, but none was named. Add --data DIR.")
    check_kind("deg_change", change, (int, float), "Give a change such as 0.1.")
    if not 0 <= change < math.inf:
        raise InputError(f"--deg-change must be 0 or above, such as 0.1, but it is {change}.")


def _predicted_files(given: Mapping[str, AnyPath] | None) -> dict[str, Path]:
    from adapert.evaluation.predicted_files import check_name as check_label

    files = check_mapping("predictions", given)
    for name in files:
        check_label(name)
    return {name: check_file(f"predictions of {name}", path) for name, path in files.items()}
