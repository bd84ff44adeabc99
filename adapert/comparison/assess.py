"""Assess configs: fit them and reference models, open a split, score, keep all, count the access."""

import logging
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pandas as pd

from adapert.comparison.fit import Fitted, as_fitted, fit_models, mean_predictions
from adapert.comparison.plan import ComparisonPlan, name_variants
from adapert.comparison.score import measure_ceilings, score
from adapert.comparison.summary import (
    ALL,
    MAIN_METRICS,
    read_evaluation,
    summarize_combinations,
    summarize_comparison,
    summarize_differences,
    write_comparison,
)
from adapert.comparison.table import build_comparison_table, describe_comparison
from adapert.comparison.test_access import (
    NO_STUDY,
    Access,
    RecordedAccess,
    check_first_access,
    find_interrupted,
    next_folder,
    opened,
)
from adapert.comparison.transfer import ScoredData, Transfer, read_scored_data
from adapert.config import Config
from adapert.data.manifest import check_fingerprint
from adapert.data.prepared import PreparedDataset, check_values, read_prepared
from adapert.data.regroup import redraw
from adapert.data.schema import SplitName
from adapert.errors import InputError, first_line, format_count
from adapert.evaluation.emitted_files import write_emitted_pair
from adapert.evaluation.predicted_files import read_prediction, record_files
from adapert.evaluation.predictions import build_predictions, write_predictions
from adapert.files import check_new_directory
from adapert.html import build_card, build_sentences, build_table
from adapert.results.find import find_studies
from adapert.selection.decide import searched_study
from adapert.tracking.provenance import git_commit
from adapert.tracking.runs import keep_evaluation
from adapert.tracking.store import tracking_uri
from adapert.training.evaluation import emission_generator

if TYPE_CHECKING:
    from anndata import AnnData

_LOGGER = logging.getLogger(__name__)

EmittedFiles = tuple[Path, Path]
"""For predicted and for observed cells."""


@dataclass(frozen=True, kw_only=True)
class Assessment:
    """What an evaluation found, and where it is kept.

    Attributes:
        frame: The long table: a row a fit, perturbation and metric.
        summary: Means by effect size and variant (`adapert.comparison.summary.summarize_comparison`).
        paired: Each model minus each reference model (`adapert.comparison.summary.summarize_differences`).
        combinations: Means by number of unseen genes and variant, of combinations
            (`adapert.comparison.summary.summarize_combinations`); without rows where there are none.
        folder: Folder with all of it, and every prediction.
        study: Study that tried the (first) config; empty where no study of the workspace tried it.
        access: Access to the test split, and its number; None where it stayed closed.
        transfer: What was asked of models of other data; None where they were trained on the scored ones.
    """

    frame: pd.DataFrame
    summary: pd.DataFrame
    paired: pd.DataFrame
    combinations: pd.DataFrame
    folder: Path
    study: str
    access: RecordedAccess | None
    transfer: Transfer | None = None

    def _repr_html_(self) -> str:
        """Show a notebook the means over all perturbations, and the access that they took."""
        means = self.summary[self.summary["effect_size"] == ALL]
        metrics = [metric for metric in MAIN_METRICS if metric in set(means["metric"])]
        by_variant = means.pivot(index="variant", columns="metric", values="mean")
        rows = [
            (variant, *(by_variant.loc[variant, metric] for metric in metrics))
            for variant in dict.fromkeys(means["variant"])
        ]
        said = [said.describe() for said in (self.transfer, self.access) if said]
        return build_card(
            f"Evaluation in {self.folder}",
            build_sentences(said),
            build_table(("model", *(MAIN_METRICS[metric] for metric in metrics)), rows, len(rows)),
        )


def evaluate_configs(
    configs: Mapping[str, Config],
    plan: ComparisonPlan,
    workspace: Path,
    *,
    again: bool = False,
    out: Path | None = None,
    emit: EmittedFiles | None = None,
    predictions: Mapping[str, Path] = MappingProxyType({}),
) -> Assessment:
    """Fit models, open a split, and write the results; every access to the test split is recorded.

    Whatever can be refused is refused before the first fit. The test split is opened, and the access
    recorded, once every fit is done and every prediction finite. The same evaluation resumes under that
    access where it was interrupted, and fits nothing where its folder was written.

    Args:
        configs: Label to config, with ``data.path``; `adapert.workspace.launch.build_base` makes one of a
            file and changes. Several are compared with each other, and the split is opened once for all.
        plan: Models, split, seeds, refit, emission, device.
        workspace: Folder of the studies that may have tried the configs, and of the ledger of accesses.
        again: Whether to open a test split that was opened before.
        out: New directory for the results; else the next free one of the workspace.
        emit: New files for the cells of the one model that is compared, for cell-eval.
        predictions: Name to file of what another model predicts (`read_prediction`): a row ``"file:NAME"``.

    Raises:
        FileNotFoundError: A file of predictions that does not exist.
        InputError: No data set, configs that do not compare, predictions that do not fit the data, a test
            split that was opened before, or an output that exists.
        DivergedError: A loss or prediction became NaN or infinite.
    """
    variants = name_variants(plan.names(configs.values()), configs)
    plan.check_ensembles(variants)
    dataset = read_dataset([*configs.values(), *variants.values()], plan)
    scored_on = read_scored_data(plan, variants.values(), dataset)
    scored_data = scored_on.dataset
    if scored_on.transfer:
        _LOGGER.info(scored_on.transfer.describe())
    tried = {label: name_study(workspace, config) for label, config in configs.items()}
    studies = list(dict.fromkeys(tried.values()))
    with tempfile.TemporaryDirectory() as scratch:  # of predicted cells
        given = [
            read_prediction(name, path, scored_data, plan.split, Path(scratch))
            for name, path in predictions.items()
        ]
        files = record_files(given)
        access = (
            _describe_access(configs, plan, scored_on, tried, out, emit, files)
            if plan.split == "test"
            else None
        )
        left = find_interrupted(workspace, access) if access else None
        if left is None:  # else all was checked when it was begun, and some of it may be there
            if emit:
                check_emitted(plan, scored_data, emit, configs)
            _check(plan, scored_data, studies, workspace, again, out)
        # The same evaluation was killed after its folder was written; MLflow may not have it.
        is_written = left is not None and (workspace / left.access.folder).exists()
        fitted = [] if is_written else fit_models(plan, variants, dataset, scored_data)
        with opened(workspace, access, again) if access else nullcontext() as recorded:
            _LOGGER.info(describe_opened(plan, scored_data, recorded))
            folder = out or workspace / (
                recorded.access.folder if recorded else next_folder(workspace, plan.split)
            )
            if is_written:
                assessment = _summarize(read_evaluation(folder)[0], folder, studies[0], recorded, scored_on)
            else:
                compared = [*fitted, *map(as_fitted, given), *scored_on.references]
                scored = score(plan, compared, scored_data) + measure_ceilings(plan, scored_data)
                frame = build_comparison_table(scored, scored_data, plan, dataset)
                assessment = _summarize(frame, folder, studies[0], recorded, scored_on)
                if emit:
                    _emit(fitted[-1], scored_data, plan, emit)
                record = describe_comparison(plan, configs, scored_data, scored, files, scored_on.transfer)
                kept = build_predictions(scored_data, plan.split, mean_predictions(compared))
                kept.uns["trained_on"] = dataset.fingerprint
                # Last: an evaluation is made once its folder is there.
                _write(assessment, record | {"git_commit": git_commit()}, kept)
            for study in studies:
                if study != NO_STUDY:  # a failure is no loss: the folder has it already
                    n_accesses = _count_own(recorded, study)
                    keep_evaluation(tracking_uri(workspace), study, folder, n_accesses)
    return assessment


def read_dataset(configs: Iterable[Config], plan: ComparisonPlan) -> PreparedDataset:
    """Map the splits that a plan needs into memory; training and validation are drawn as the configs say.

    Args:
        configs: One or more, which agree in data and split.
        plan: Says which split is predicted; one of other data is not read here.

    Raises:
        InputError: No data set, a damaged one, or another than the configs'.
    """
    config, *others = configs
    if not config.data.path:
        raise InputError("An evaluation needs a prepared data set, but the config has no data.path. Set it.")
    path = Path(config.data.path)
    own: set[SplitName] = {plan.split} if plan.on is None else set()
    dataset = read_prepared(path, {"train", "validation", *own})
    if config.data.fingerprint:
        cure = "Name the data set that it was picked on."
        check_fingerprint(path, dataset.fingerprint, config.data.fingerprint, "The config", cure)
    check_values(dataset)
    has_training_cells = any(one.reads_training_cells for one in (config, *others))
    return redraw(dataset, config.data.split_seed, has_training_cells)


def name_study(workspace: Path, config: Config) -> str:
    """Name the study that tried a config first; `NO_STUDY` where none of the workspace did.

    A re-evaluation's configs are those of the study that was searched, on whatever split.

    Raises:
        InputError: A damaged ledger, or a store that cannot be read: whether the test split was opened is
            then unknown.
    """
    try:
        studies = [searched_study(workspace, name) for name in find_studies(workspace, config.digest())[:1]]
    except InputError:
        raise
    except Exception as error:  # MLflow's, the database's or the network's
        raise InputError(
            "Accesses to the test split are counted by study, but the store that knows the studies cannot be "
            f"read: {first_line(error)} Start its server, or give another --workspace."
        ) from error
    return studies[0] if studies else NO_STUDY


def describe_opened(plan: ComparisonPlan, dataset: PreparedDataset, access: RecordedAccess | None) -> str:
    """Say which split is open now, and how often the test split has been."""
    perturbations = format_count(len(dataset.splits[plan.split].table.perturbations), "perturbation")
    opened = f"Opened: the {plan.split} split of data {dataset.fingerprint}, {perturbations}."
    return f"{opened} {access.describe() if access else 'The test split stays closed.'}"


def _check(
    plan: ComparisonPlan,
    dataset: PreparedDataset,
    studies: Sequence[str],
    workspace: Path,
    again: bool,
    out: Path | None,
) -> None:
    """Refuse what would fail at the end, before the first fit."""
    check_new_directory(workspace / next_folder(workspace, plan.split))
    if out:
        check_new_directory(out)
    if plan.split == "test" and not again:
        for study in studies:
            check_first_access(workspace, study, dataset.fingerprint)


def _summarize(
    frame: pd.DataFrame, folder: Path, study: str, recorded: RecordedAccess | None, scored_on: ScoredData
) -> Assessment:
    return Assessment(
        frame=frame,
        summary=summarize_comparison(frame),
        paired=summarize_differences(frame),
        combinations=summarize_combinations(frame),
        folder=folder,
        study=study,
        access=recorded,
        transfer=scored_on.transfer,
    )


def _count_own(recorded: RecordedAccess | None, study: str) -> int | None:
    """Number an access among a study's to the test split of its own data; None where that stayed closed."""
    return None if recorded is None or recorded.access.trained_on else recorded.numbers[study]


def _describe_access(
    configs: Mapping[str, Config],
    plan: ComparisonPlan,
    scored_on: ScoredData,
    tried: Mapping[str, str],
    out: Path | None,
    emit: EmittedFiles | None,
    files: Sequence[Mapping[str, str]],
) -> Access:
    described = [
        {
            "label": label,
            "study": tried[label],
            "config_digest": config.digest(),
            "config": config.flat(),
        }
        for label, config in configs.items()
    ]
    config = next(iter(configs.values()))
    return Access(
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        study=next(iter(tried.values())),
        config_digest=config.digest(),
        config=config.flat(),
        git_commit=git_commit(),
        data_fingerprint=scored_on.dataset.fingerprint,
        models=list(plan.names(configs.values())),
        n_seeds=plan.n_seeds,
        refit=plan.refit,
        folder=str(out.absolute()) if out else "",
        use_ensembles=plan.use_ensembles,
        emission=plan.emission,
        emitted=[str(path.absolute()) for path in emit or ()],
        files=files,
        others=described[1:],
        trained_on=scored_on.transfer.trained_on if scored_on.transfer else "",
        on=scored_on.transfer.on if scored_on.transfer else "",
    )


def _write(assessment: Assessment, record: Mapping[str, Any], predictions: "AnnData") -> None:
    if recorded := assessment.access:
        counted = {
            "at": recorded.access.at,
            "study": assessment.study,
            "number": recorded.numbers[assessment.study],
            "numbers": dict(recorded.numbers),
            "data_number": recorded.data_number,
        }
        record = {**record, "opened": record["opened"] | counted}
    write_comparison(
        assessment.folder,
        assessment.frame,
        assessment.summary,
        assessment.paired,
        assessment.combinations,
        record,
        lambda directory: write_predictions(predictions, directory),
    )


def _emit(fitted: Fitted, dataset: PreparedDataset, plan: ComparisonPlan, files: EmittedFiles) -> None:
    write_emitted_pair(
        fitted.predicted_delta,
        dataset,
        plan.split,
        predicted_file=files[0],
        real_file=files[1],
        emission=plan.emission,
        generator=emission_generator(fitted.seed),
    )


def check_emitted(
    plan: ComparisonPlan, dataset: PreparedDataset, files: EmittedFiles, configs: Mapping[str, Config]
) -> None:
    """Refuse to emit what is not one prediction of cells, before any model is fitted.

    Raises:
        InputError: Responses, several predictions, the same file twice, or a file that exists.
    """
    first, *others = plan.names(configs.values())
    if len(configs) > 1:
        raise InputError(f"--emit writes one model's cells, but {len(configs)} configs are given. Name one.")
    if dataset.manifest.kind == "responses":
        raise InputError(
            "--emit writes cells, but the data set was prepared from responses. Leave it out, or name a data "
            "set of cells."
        )
    if others:
        n_models = 1 + len(others)
        raise InputError(f"--emit writes one model's cells, but --models names {n_models}. Name one of them.")
    (config,) = name_variants([first], configs).values()
    if plan.n_seeds > 1 and plan.has_chance(config) and not plan.use_ensembles:
        raise InputError(
            f"--emit writes one prediction, but --seeds is {plan.n_seeds}. Give --seeds 1, or --ensemble to "
            "emit the seeds' mean."
        )
    if files[0].absolute() == files[1].absolute():
        raise InputError(f"--emit needs two files, predicted and real, but both are '{files[0]}'.")
    for path in files:
        if path.exists():
            raise InputError(f"Emitted cells go into new files, but '{path}' exists. Name another.")
