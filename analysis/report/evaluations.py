"""Sections on what was scored beside reference models, and on how often the test split was opened."""

from collections.abc import Collection, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from adapert.comparison.summary import CAPTION, LABELS, MAIN_METRICS, read_record
from adapert.comparison.test_access import Access
from adapert.csv_files import read_csv
from adapert.errors import InputError, format_count
from adapert.evaluation.catalogue import check_metrics
from adapert.statistics.families import MODELS
from analysis.report.drawings import draw_evaluation, gather_figures
from analysis.report.effects import build_paired_table
from analysis.report.elements import Column, Heading, PageTable, Paragraph, Part, build_page_table

SUMMARY_FILE, PAIRED_FILE = "summary.csv", "paired.csv"

HALF_WIDTH = "± "
"""Before the head of a column of half-widths."""


def build_evaluations(
    workspace: Path, openings: Sequence[Access], fingerprints: Collection[str]
) -> list[Part]:
    """Lay out the evaluations that are of the studies' data.

    Args:
        workspace: Of the studies, with folders of evaluations.
        openings: They name the folders that lie elsewhere.
        fingerprints: Of the studies' data.
    """
    inside = sorted((workspace.resolve() / "evaluations").glob("[!.]*"))
    elsewhere = [(workspace / opening.folder).resolve() for opening in openings]
    records = {folder: _read_record(folder) for folder in dict.fromkeys([*inside, *elsewhere])}
    parts: list[Part] = []
    for folder, record in records.items():
        if record and record["opened"].get("data_fingerprint") in fingerprints:
            parts += [Heading(folder.name), *_build_evaluation(folder, record, _shown(folder, workspace))]
    n_headings = sum(isinstance(part, Heading) for part in parts)
    if n_others := len(records) - n_headings:
        parts.append(
            Paragraph(f"{n_others} more in this workspace are of other data, unfinished or damaged.")
        )
    return parts or [
        Paragraph("Nothing was evaluated beside reference models yet: 'adapert evaluate' does it.")
    ]


def _read_record(folder: Path) -> dict[str, Any] | None:
    """Read what was opened; None where an evaluation is unfinished or damaged."""
    try:
        record = read_record(folder)
    except InputError:
        return None
    return record if (folder / SUMMARY_FILE).is_file() else None


def _shown(folder: Path, workspace: Path) -> str:
    """Name a folder as whoever named the workspace would."""
    inside = workspace.resolve()
    return str(workspace / folder.relative_to(inside) if folder.is_relative_to(inside) else folder)


def _build_evaluation(folder: Path, record: dict[str, Any], shown: str) -> list[Part]:
    opened = record["opened"]
    perturbations = format_count(opened["n_perturbations"], f"{opened['split']} perturbation")
    told = (
        f"{perturbations} of data {opened['data_fingerprint']}, "
        f"scored {opened['at']}, commit {record.get('git_commit', 'unknown')}."
    )
    return [
        Paragraph(told),
        _score_table(folder, opened["split"]),
        *_paired_tables(folder, opened["split"]),
        *gather_figures([draw_evaluation(folder, shown)]),
    ]


def _paired_tables(folder: Path, split: str) -> list[Part]:
    file = folder / PAIRED_FILE
    paired = read_csv(file) if file.is_file() and file.stat().st_size > 1 else pd.DataFrame()
    if paired.empty:
        return []
    check_metrics(paired["metric"], f"'{file}'")
    caption = f"Paired differences between models on {split} perturbations ({folder.name})"
    told = "Each variant minus the reference on the same perturbations."
    return [build_paired_table(paired, caption, told, MODELS)]


def _score_table(folder: Path, split: str) -> PageTable:
    summary = read_csv(folder / SUMMARY_FILE)
    metrics = [metric for metric in MAIN_METRICS if metric in set(summary["metric"])]
    rows = [
        _evaluation_row(estimates, str(group), str(variant), metrics)
        for (group, variant), estimates in summary.groupby(["effect_size", "variant"], sort=False)
    ]
    columns = {metric: Column(MAIN_METRICS[metric], n_decimals=3) for metric in metrics}
    columns |= {
        f"{HALF_WIDTH}{metric}": Column(f"{HALF_WIDTH}{MAIN_METRICS[metric]}", n_decimals=3)
        for metric in metrics
    }
    frame = pd.DataFrame(rows).rename(columns={"effect_size": "effect size"})
    caption = f"Models on {split} perturbations, by effect size ({folder.name})"
    return build_page_table(frame, caption, columns, CAPTION)


def _evaluation_row(
    estimates: pd.DataFrame, group: str, variant: str, metrics: Sequence[str]
) -> dict[str, object]:
    row: dict[str, object] = {
        "effect_size": group,
        "model": LABELS.get(variant, variant),
        "perturbations": int(estimates["n_perturbations"].max()),
        "fits": int(estimates["n_seeds"].max()),
    }
    of_metric = {known["metric"]: known for known in estimates.to_dict("records")}
    for metric in metrics:
        known = of_metric.get(metric)
        row[metric] = None if known is None else known["mean"]
        row[f"{HALF_WIDTH}{metric}"] = None if known is None else (known["high"] - known["low"]) / 2
    return row


_OPENING_COLUMNS = (
    "at",
    "study",
    "models",
    "n_seeds",
    "refit",
    "config_digest",
    "data_fingerprint",
    "git_commit",
    "folder",
)


def build_accesses(openings: Sequence[Access]) -> list[Part]:
    """Lay out when the test split was opened, for what, and by which code."""
    if not openings:
        return [Paragraph("The test split was not opened in this workspace.")]
    rows = [asdict(opening) | {"models": ", ".join(opening.models)} for opening in openings]
    frame = pd.DataFrame(rows)[list(_OPENING_COLUMNS)]
    columns = {
        "at": Column("at", "UTC"),
        "n_seeds": Column("seeds"),
        "refit": Column("learned from"),
        "config_digest": Column("config"),
        "data_fingerprint": Column("data"),
    }
    frame["git_commit"] = frame["git_commit"].str[:12]
    return [build_page_table(frame, "Openings of the test split, the first one first", columns)]
