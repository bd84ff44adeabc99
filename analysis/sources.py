"""All that is drawn of a source: the figures and tables of a data set, an evaluation, and studies' claims."""

import logging
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from adapert.comparison.summary import read_evaluation
from adapert.data.formats.gene_sets import GeneSets, read_gene_sets
from adapert.data.prepared import PreparedDataset, read_prepared
from adapert.data.sources import parse_named
from adapert.errors import InputError, name_some
from adapert.evaluation.predictions import PREDICTIONS_FILE
from adapert.records import trained_on
from adapert.results.ledger import LedgerResults
from adapert.results.load import NothingToShowError, load_per_perturbation
from adapert.results.study import StudyResults
from adapert.study.engine.ledger import LEDGER_FILE
from adapert.study.plan.peers import PEERS, shown_name
from analysis.claims import CLAIMS_STEM, build_claims_table, summarize_claims
from analysis.figures.page import SCREEN, Style
from analysis.figures.recipes import (
    DATA_FIGURES,
    EVALUATION_FIGURES,
    Evaluation,
    Prepared,
    draw_source,
    select_stems,
)
from analysis.leaderboard.load import load_ranked
from analysis.leaderboard.summary import load_combinations, load_summary
from analysis.pathways import summarize_pathway_agreement
from analysis.predictions import Predictions, choose_variants, read_predictions
from analysis.priors import PRIORS, load_priors
from analysis.tables import (
    PaperTable,
    build_data_tables,
    build_evaluation_tables,
    build_joint_tables,
    write_table,
)
from analysis.tables.combinations import COMBINATIONS_STEM
from analysis.tables.joint import DE_STEM, PERFORMANCE_STEM
from analysis.tables.leaderboard import (
    BY_SIZE_STEM,
    LEADERBOARD_STEM,
    UNSEEN_STEM,
    build_leaderboard_tables,
)
from analysis.tables.pathways import PATHWAYS_STEM, build_pathway_table
from analysis.tables.priors import SOURCES_STEM, build_sources_table
from analysis.tables.system_scores import Compared
from analysis.tables.systems import SYSTEM_STEMS, build_system_tables

_LOGGER = logging.getLogger(f"adapert.{__name__}")

TABLE_STEMS = (
    "table_1_performance",
    "table_2_differential_expression",
    "table_3_effect_sizes",
    "table_4_data",
    "table_5_effect_sizes",
    "table_6_network",
    "table_7_embeddings",
    COMBINATIONS_STEM,
    PERFORMANCE_STEM,
    DE_STEM,
    PATHWAYS_STEM,
    CLAIMS_STEM,
    LEADERBOARD_STEM,
    BY_SIZE_STEM,
    UNSEEN_STEM,
    SOURCES_STEM,
    *SYSTEM_STEMS,
)
"""Names of all tables that the commands write."""

STUDY_TABLES = {PEERS: (LEADERBOARD_STEM, BY_SIZE_STEM, UNSEEN_STEM), PRIORS: (SOURCES_STEM,)}
"""Design of a study to its tables."""


def draw_data(
    folder: Path,
    directory: Path,
    evaluation: Path | None = None,
    only: Collection[str] = (),
    min_change: float | None = None,
    style: Style = SCREEN,
) -> list[Path]:
    """Draw Figures 6, 7 and 8 and write Tables 4 to 7 of a prepared data set, its test split unopened.

    Args:
        folder: Folder that `adapert prepare` wrote.
        directory: Target; created if need be, and files of the same name are replaced.
        evaluation: Folder of an evaluation on these data: Figure 8 is of its perturbations, and follows the
            genes of its model's largest predicted changes too.
        only: Stems of the figures and tables; empty takes all.
        min_change: Absolute change above which Figure 7 counts a gene; None counts the data set's DEGs.
        style: What the figures are drawn for.

    Returns:
        The files, each figure's PNG first.

    Raises:
        InputError: No prepared data set or evaluation, a damaged one, or one of other data.
    """
    dataset = read_prepared(folder)
    tables = select_stems(build_data_tables(dataset), only)
    predictions = None if evaluation is None else _read_predictions_of(dataset, evaluation)
    return [
        *draw_source(DATA_FIGURES, Prepared(dataset, predictions, min_change), directory, only, style),
        *(path for table in tables for path in write_table(table, directory)),
    ]


def draw_evaluation(
    folder: Path,
    directory: Path,
    perturbation: str | None = None,
    pathways: Path | None = None,
    only: Collection[str] = (),
    style: Style = SCREEN,
) -> list[Path]:
    """Draw Figures 1 and 9 and write Tables 1, 2, 3 and those of pathways and combinations of an evaluation.

    Args:
        folder: Folder that `adapert evaluate` wrote.
        directory: Target; created if need be, and files of the same name are replaced.
        perturbation: The one to show; None lets the figures choose.
        pathways: GMT file of the gene sets of Figure 9 and its table; None leaves both out. Where no set has
            enough measured genes, both are left out beside the others, with the reason.
        only: Stems of the figures and tables; empty takes all.
        style: What the figures are drawn for.

    Returns:
        The files, each figure's PNG first.

    Raises:
        InputError: No evaluation, a damaged one, no such perturbation, or no GMT file.
    """
    frame, record = read_evaluation(folder)
    tables = select_stems(build_evaluation_tables(frame, record), only)
    gene_sets = None if pathways is None else read_gene_sets(pathways)
    paths: list[Path] = []
    if (folder / PREDICTIONS_FILE).is_file():
        evaluation = Evaluation(read_predictions(folder / PREDICTIONS_FILE), perturbation, gene_sets)
        if perturbation is not None:
            evaluation.predictions.row_of(perturbation)
        try:
            paths = draw_source(EVALUATION_FIGURES, evaluation, directory, only, style)
        except InputError as error:
            _leave_out("Figures 1 and 9", error, tables)
        if gene_sets is not None and (not only or PATHWAYS_STEM in only):
            try:
                tables.append(_build_pathway_table(evaluation.predictions, gene_sets, record))
            except InputError as error:
                _leave_out(PATHWAYS_STEM, error, [*paths, *tables])
    else:
        _LOGGER.info(f"Left out Figures 1 and 9: '{folder}' has no '{PREDICTIONS_FILE}'.")
    return [*paths, *(path for table in tables for path in write_table(table, directory))]


def parse_evaluations(given: Sequence[str]) -> dict[str, Path]:
    """Read ``NAME=FOLDER`` or ``FOLDER`` each, see `parse_named`; one without a name has its folder's.

    Raises:
        InputError: No name before the ``=``, or one that is given twice.
    """
    return _parse_folders(given, "An evaluation", "--evaluation", str)


def parse_comparisons(given: Sequence[str]) -> dict[str, Path]:
    """Read folders of comparisons of systems, as `parse_evaluations`; ``peers_k562`` is called k562."""
    return _parse_folders(given, "A comparison of systems", "--peers", shown_name)


def _parse_folders(
    given: Sequence[str], noun: str, option: str, shorten: Callable[[str], str]
) -> dict[str, Path]:
    def check(name: str, text: str) -> None:
        if not name.strip() or not text or text.endswith("="):
            raise InputError(
                f"{noun} is given as FOLDER or NAME=FOLDER, but it is '{text}'. Give both, or leave the '=' "
                "out."
            )

    named = parse_named(
        given,
        noun.partition(" ")[2],
        f"{option} NAME=FOLDER",
        lambda path: shorten(path.absolute().name),
        check,
    )
    return {name: Path(path) for name, path in named.items()}


def draw_evaluations(folders: Mapping[str, Path], directory: Path, only: Collection[str] = ()) -> list[Path]:
    """Write Tables 1 and 2 of several evaluations side by side.

    Args:
        folders: Name to folder that `adapert evaluate` wrote.
        directory: Target; created if need be, and files of the same name are replaced.
        only: Stems of the tables; empty takes both.

    Returns:
        The files.

    Raises:
        InputError: No evaluation, a damaged one, or one that is given twice.
    """
    places = [folder.resolve() for folder in folders.values()]
    if twice := [str(folder) for folder in folders.values() if places.count(folder.resolve()) > 1]:
        raise InputError(
            f"Evaluations that are set side by side must differ, but {name_some(twice)} are the same folder. "
            "Name each once."
        )
    tables = build_joint_tables({name: read_evaluation(folder) for name, folder in folders.items()})
    return [path for table in select_stems(tables, only) for path in write_table(table, directory)]


def _build_pathway_table(
    predictions: Predictions, gene_sets: GeneSets, record: Mapping[str, Any]
) -> PaperTable:
    variants = [name for name in choose_variants(predictions) if name is not None]
    return build_pathway_table(summarize_pathway_agreement(predictions, gene_sets, variants), record)


def _leave_out(what: str, reason: InputError, others: Collection[object]) -> None:
    """Say why something is left out beside others; without any others, it was all that was asked for."""
    if not others:
        raise reason
    _LOGGER.info(f"Left out {what}: {reason}")


def summarize_study_claims(studies: Sequence[StudyResults], split: str = "validation") -> pd.DataFrame | None:
    """Test the paper's claims on the ablations and sensitivity studies among some studies.

    Args:
        studies: Those of other designs, or without a finished trial of the split, are passed
            over.
        split: Split that is compared.

    Returns:
        As `summarize_claims`, study by study; None where no claim can be tested.

    Raises:
        InputError: A damaged study.
    """
    parts = []
    for study in studies:
        if study.design not in ("ablation", "sensitivity"):
            continue
        try:
            frame = load_per_perturbation(study)
        except NothingToShowError:
            continue
        chosen = frame[frame["split"] == split]
        is_ablation = study.design == "ablation"
        parts.append(summarize_claims(chosen) if is_ablation else summarize_claims(sensitivity=chosen))
    claims = [part for part in parts if len(part)]
    return pd.concat(claims, ignore_index=True) if claims else None


def draw_study_tables(
    studies: Sequence[StudyResults], directory: Path, split: str = "validation", only: Collection[str] = ()
) -> list[Path]:
    """Write the tables of each study that has some: comparisons of systems, and studies of priors.

    Args:
        studies: Those of other designs, or without a finished trial, are passed over.
        directory: Target; created if need be, and files of the same name are replaced. Where several studies
            of one design have tables, the files' names end in the study's.
        split: Split that is compared.
        only: Stems of the tables; empty takes all.

    Returns:
        The files.

    Raises:
        InputError: A damaged study.
    """
    designs = [study.design for study in studies]
    paths: list[Path] = []
    for study in studies:
        stems = STUDY_TABLES.get(study.design, ())
        if not stems or (only and not set(only) & set(stems)):
            continue
        try:
            tables = select_stems(build_study_tables(study, split), only)
        except NothingToShowError as error:
            _LOGGER.info(f"Left out the tables of '{study.name}': {error}")
            continue
        for table in tables:
            stem = f"{table.stem}_{study.name}" if designs.count(study.design) > 1 else table.stem
            paths += write_table(table, directory, stem)
    return paths


def open_comparison(folder: Path) -> StudyResults:
    """Read a comparison of systems from its study's folder.

    Raises:
        InputError: No such study in it, one of another design, or a damaged ledger.
    """
    rule = "A comparison of systems is given as the folder of its study, such as runs/studies/peers, but"
    if not (folder / LEDGER_FILE).is_file():
        raise InputError(f"{rule} '{folder}' has no '{LEDGER_FILE}'. 'adapert launch peers' makes one.")
    study = LedgerResults(folder)
    if study.design != PEERS:
        raise InputError(f"{rule} '{folder}' is of the design '{study.design}'. Name one of '{PEERS}'.")
    return study


def join_comparisons(
    studies: Sequence[StudyResults], further: Mapping[str, StudyResults] | None = None
) -> dict[str, StudyResults]:
    """Name the comparisons of systems that tables set side by side.

    Args:
        studies: Those of other designs are passed over; ``"peers_k562"`` is called k562.
        further: Name to comparison; one whose name is empty is called as those of `studies`.

    Raises:
        InputError: Two of one name.
    """
    own = [("", study) for study in studies if study.design == PEERS]
    named = [(name or shown_name(study.name), study) for name, study in (*own, *(further or {}).items())]
    counts = Counter(name for name, _ in named)
    if both := sorted(name for name, count in counts.items() if count > 1):
        raise InputError(
            f"Comparisons that are set side by side need names of their own, but {name_some(both)} is there "
            "twice. Name it otherwise: --peers NAME=FOLDER."
        )
    return dict(named)


def build_joined_tables(
    comparisons: Mapping[str, StudyResults], split: str = "validation"
) -> list[PaperTable]:
    """Build Tables 1, 2 and 3 of comparisons of systems side by side.

    Args:
        comparisons: From `join_comparisons`; one without a finished trial of the split is left out.
        split: Split that is compared.

    Returns:
        No table where none is left.

    Raises:
        InputError: A damaged study.
    """
    compared: dict[str, Compared] = {}
    for name, study in comparisons.items():
        try:
            frame = load_ranked(study, split)
        except NothingToShowError as error:
            _LOGGER.info(f"Left out of the tables of systems: {error}")
            continue
        compared[name] = Compared(study=study.name, fingerprint=study.fingerprint, frame=frame)
    return build_system_tables(compared) if compared else []


def draw_joined_tables(
    comparisons: Mapping[str, StudyResults],
    directory: Path,
    split: str = "validation",
    only: Collection[str] = (),
) -> list[Path]:
    """Write Tables 1, 2 and 3 of comparisons of systems side by side.

    Args:
        comparisons: As in `build_joined_tables`.
        directory: Target; created if need be, and files of the same name are replaced.
        split: Split that is compared.
        only: Stems of the tables; empty takes all.

    Returns:
        The files.

    Raises:
        InputError: A damaged study.
    """
    if only and not set(only) & set(SYSTEM_STEMS):
        return []
    tables = select_stems(build_joined_tables(comparisons, split), only)
    return [path for table in tables for path in write_table(table, directory)]


def build_study_tables(study: StudyResults, split: str = "validation") -> list[PaperTable]:
    """Build the tables of a study of a design among `STUDY_TABLES`.

    Raises:
        NothingToShowError: No finished trial.
        InputError: A damaged study.
    """
    is_priors = study.design == PRIORS
    summary = load_priors(study) if is_priors else load_summary(study)
    chosen = summary[summary["split"] == split]
    if chosen.empty:
        raise NothingToShowError(f"No run of study '{study.name}' has the split '{split}'.")
    if is_priors:
        return [build_sources_table(chosen)]
    combinations = load_combinations(study)
    return build_leaderboard_tables(chosen, combinations[combinations["split"] == split])


def write_claims(claims: pd.DataFrame, directory: Path) -> list[Path]:
    """Write claims as CSV, Markdown and LaTeX; returns the three paths."""
    return write_table(build_claims_table(claims), directory)


def _read_predictions_of(dataset: PreparedDataset, folder: Path) -> Predictions | None:
    """Read an evaluation's predictions, if it has some, and refuse those on other data."""
    _, record = read_evaluation(folder)
    fingerprint, of_models = record["opened"]["data_fingerprint"], trained_on(record["opened"])
    if fingerprint != of_models:
        raise InputError(
            "Figure 8 follows an evaluated model's genes through the network that it was trained on, but "
            f"the models of '{folder}' were trained on data {of_models} and scored on data {fingerprint}. "
            "Name an evaluation within one data set, or draw the two one after the other."
        )
    if fingerprint != dataset.fingerprint:
        raise InputError(
            "Figure 8 follows an evaluated model's genes through the network of the data it was evaluated "
            f"on, but '{folder}' is of data {fingerprint}, and the data set given is {dataset.fingerprint}. "
            "Name the evaluation's own data, or draw the two one after the other."
        )
    return read_predictions(folder) if (folder / PREDICTIONS_FILE).is_file() else None
