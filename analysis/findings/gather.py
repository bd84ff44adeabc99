"""All findings of some studies, from what their figures, tables and claims are made of."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from adapert.comparison.summary import read_record
from adapert.comparison.test_access import Access
from adapert.csv_files import read_csv
from adapert.errors import InputError
from adapert.evaluation.catalogue import find_metric
from adapert.records import trained_on
from adapert.results.load import NothingToShowError, load_per_perturbation
from adapert.results.study import StudyResults
from adapert.statistics.pairs import model_of
from adapert.statistics.questions import REFERENCE
from adapert.statistics.readings import find_empty_in, split_readings
from adapert.study.plan.peers import PEERS
from analysis.claims import CLAIM_COLUMNS
from analysis.findings.certainty import Compared, describe_compared, find_certainty, find_undecided, warn_of
from analysis.findings.finding import Finding, Findings, state
from analysis.findings.parts import METRIC, find_parts
from analysis.findings.pick import ReadPick, find_pick
from analysis.findings.rival import SYSTEM, find_evaluated_rival, find_rival
from analysis.findings.weights import find_weights
from analysis.leaderboard.summary import load_summary

ABLATION, SENSITIVITY, SEARCH = "ablation", "sensitivity", "search"

PAIRED_FILE = "paired.csv"


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What findings are read off, so that nothing is computed twice.

    Attributes:
        studies: The studies, in their order.
        split: Which perturbations their figures show.
        summaries: Study to the frame of its Figure 4 or 5, as far as it was drawn.
        picks: Search to what was picked from it.
        claims: The paper's claims about them; None where none can be tested.
        evaluations: Folders of evaluations; those on other data, or of models of other data, are passed over.
    """

    studies: Sequence[StudyResults]
    split: str
    summaries: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    picks: Mapping[str, ReadPick] = field(default_factory=dict)
    claims: pd.DataFrame | None = None
    evaluations: Sequence[Path] = ()


def gather_findings(evidence: Evidence) -> Findings:
    """Say what studies answer, in three to six sentences where there is one study of each design.

    Raises:
        InputError: A damaged study or evaluation.
    """
    found: list[Finding] = [find_pick(read) for read in evidence.picks.values()]
    compared: list[Compared] = []
    warnings: list[str] = []
    # An evaluation may have kernel ridge at its defaults: a comparison of systems has searched it.
    of_systems = list(_find_compared(evidence))
    found += [rival for _, rival in of_systems]
    compared += [_describe_comparison(evidence, study) for study, _ in of_systems]
    if not of_systems and (evaluated := _find_evaluated(evidence)):
        found.append(evaluated)
    for study, summary, long in _read_compared(evidence):
        compared.append(describe_compared(long, _count_compared(study.design, long)))
        if study.design == ABLATION:
            empty = find_empty_in(long, REFERENCE)
            warnings += [f"'{study.name}': {empty.sentence}"] if empty.variants else []
            if parts := find_parts(summary, empty.variants):
                found.append(parts)
        else:
            found.append(find_weights(summary, _claims_of(evidence, study)))
    topics = {finding.topic for finding in found}
    found = found or [_find_result(study) for study in evidence.studies]
    found.append(
        find_certainty(compared, {name: read.pick for name, read in evidence.picks.items() if read.pick})
    )
    found.append(find_undecided(evidence.claims, topics))
    return Findings(tuple(found), (*warnings, *warn_of(compared)))


def _read_compared(evidence: Evidence) -> Iterator[tuple[StudyResults, pd.DataFrame, pd.DataFrame]]:
    """Read each ablation and sensitivity study with the frame of its figure, and its long table."""
    for study in evidence.studies:
        summary = evidence.summaries.get(study.name)
        if study.design not in (ABLATION, SENSITIVITY) or summary is None:
            continue
        long = _read_long(evidence, study)
        if long["variant"].nunique() > 1:
            yield study, summary, long


def _read_long(evidence: Evidence, study: StudyResults) -> pd.DataFrame:
    long = load_per_perturbation(study)
    return long[long["split"] == evidence.split]


def list_evaluations(workspace: Path, accesses: Iterable[Access]) -> list[Path]:
    """List the folders that evaluations may be in: the workspace's, then those that accesses name."""
    inside = sorted((workspace.resolve() / "evaluations").glob("[!.]*"))
    return list(dict.fromkeys([*inside, *((workspace / access.folder).resolve() for access in accesses)]))


def read_paired(folder: Path) -> pd.DataFrame:
    """Read the paired differences of an evaluation; without rows where it compared nothing."""
    file = folder / PAIRED_FILE
    return read_csv(file) if file.is_file() and file.stat().st_size > 1 else pd.DataFrame()


def _count_compared(design: str, long: pd.DataFrame) -> int:
    if design == ABLATION:
        return int(long["variant"].nunique())
    return max((part["lambda_non"].nunique() for part in split_readings(long).values()), default=0)


def _claims_of(evidence: Evidence, study: StudyResults) -> pd.DataFrame:
    claims = pd.DataFrame(columns=list(CLAIM_COLUMNS)) if evidence.claims is None else evidence.claims
    return claims[claims["study"] == study.name]


def _find_evaluated(evidence: Evidence) -> Finding | None:
    """Compare with kernel ridge as the last evaluation of both on the test split did."""
    fingerprints = {study.fingerprint for study in evidence.studies}
    records = dict(_read_records(evidence.evaluations))
    for folder in sorted(records, key=lambda folder: str(records[folder]["opened"].get("at")), reverse=True):
        opened = (record := records[folder])["opened"]
        if opened.get("data_fingerprint") not in fingerprints or opened.get("split") != "test":
            continue
        if trained_on(opened) != opened["data_fingerprint"]:  # models of other data, scored on these
            continue
        if rival := find_evaluated_rival(read_paired(folder), record, folder.name):
            return rival
    return None


def _read_records(folders: Iterable[Path]) -> Iterator[tuple[Path, dict[str, Any]]]:
    for folder in folders:
        with suppress(InputError):  # unfinished or damaged: the page says so elsewhere
            yield folder, read_record(folder)


def _find_compared(evidence: Evidence) -> Iterator[tuple[StudyResults, Finding]]:
    """Compare with kernel ridge as each comparison of systems did that has both, data set by data set."""
    for study in evidence.studies:
        if study.design == PEERS and (rival := _find_in_comparison(evidence, study)):
            yield study, rival


def _find_in_comparison(evidence: Evidence, study: StudyResults) -> Finding | None:
    try:
        summary = load_summary(study)
    except NothingToShowError:
        return None
    return find_rival(summary[summary["split"] == evidence.split])


def _describe_comparison(evidence: Evidence, study: StudyResults) -> Compared:
    """Count what systems are compared on; those whose fits no seed changes have fewer of them."""
    long = _read_long(evidence, study)
    systems = long["variant"].map(model_of)
    return describe_compared(long[systems == SYSTEM], int(systems.nunique()))


def _find_result(study: StudyResults) -> Finding:
    """Say what came of a study whose design has no sentence of its own."""
    label = find_metric(METRIC).label
    if not any(trial.is_finished for trial in study.trials):
        return state("result", f"'{study.name}': undecided, since no trial has a final {label}.", ())
    best = study.best_trial()
    words = f"'{study.name}': the best validation {label} is {best.objective:.4f} ({best.variant})"
    return state("result", f"{words}; what is compared is in the tables.", ())
