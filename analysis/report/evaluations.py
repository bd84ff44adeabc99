"""Sections on what was compared with reference models, and on how often the test split was opened."""

from collections.abc import Collection, Sequence
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from adapert.comparison.summary import CAPTION, FEWEST_SHOWN, LABELS, MAIN_METRICS, read_record
from adapert.comparison.test_access import Access
from adapert.csv_files import read_csv
from adapert.errors import InputError
from adapert.evaluation.catalogue import check_metrics
from adapert.records import trained_on
from adapert.statistics.questions import MODELS
from analysis.findings.gather import PAIRED_FILE, list_evaluations, read_paired
from analysis.report.drawings import draw_evaluation, gather_figures
from analysis.report.effects import build_paired_table
from analysis.report.elements import Column, Heading, PageTable, Paragraph, Part, build_page_table
from analysis.tables.performance import describe_evaluation

SUMMARY_FILE = "summary.csv"


def build_evaluations(
    workspace: Path, accesses: Sequence[Access], fingerprints: Collection[str]
) -> list[Part]:
    """Lay out the evaluations that are of the studies' data.

    Args:
        workspace: Folder with the studies and evaluations.
        accesses: Accesses to the test split; they name the evaluations in other folders.
        fingerprints: Fingerprints of the studies' data, which may be the scored ones or those of the models.
    """
    folders = list_evaluations(workspace, accesses)
    parts: list[Part] = []
    for folder in folders:
        try:
            record = read_record(folder)
        except InputError:
            continue
        opened = record["opened"]
        of_models = trained_on(opened)
        is_of_studies = not {opened.get("data_fingerprint"), of_models}.isdisjoint(fingerprints)
        if not is_of_studies or not (folder / SUMMARY_FILE).is_file():
            continue
        split = opened["split"]
        described = (
            f"The {describe_evaluation(record)}, scored {opened['at']}, commit "
            f"{record.get('git_commit', 'unknown')}."
        )
        parts += [Heading(folder.name), Paragraph(described), _score_table(folder, split)]
        paired = read_paired(folder)
        if not paired.empty:
            check_metrics(paired["metric"], f"'{folder / PAIRED_FILE}'")
            caption = f"Paired differences between models on {split} perturbations ({folder.name})"
            subtracted = "Each variant minus the reference on the same perturbations."
            parts.append(build_paired_table(paired, caption, subtracted, MODELS))
        # A folder is named as whoever named the workspace would.
        is_inside = folder.is_relative_to(workspace.resolve())
        shown = workspace / folder.relative_to(workspace.resolve()) if is_inside else folder
        parts += gather_figures([draw_evaluation(folder, str(shown))])
    n_headings = sum(isinstance(part, Heading) for part in parts)
    if n_others := len(folders) - n_headings:
        parts.append(
            Paragraph(f"{n_others} more in this workspace are of other data, unfinished or damaged.")
        )
    return parts or [Paragraph("Nothing was compared with reference models yet. Run 'adapert evaluate'.")]


def _score_table(folder: Path, split: str) -> PageTable:
    keys = ["effect_size", "variant"]
    summary = read_csv(folder / SUMMARY_FILE)
    counts = summary.groupby(keys, sort=False)[["n_perturbations", "n_seeds"]].max()
    frame = counts.set_axis(["perturbations", "fits"], axis=1)
    columns: dict[str, Column] = {}
    for metric in (name for name in MAIN_METRICS if name in set(summary["metric"])):
        known = summary[summary["metric"] == metric].set_index(keys)
        half_width = (known["high"] - known["low"]) / 2
        frame[metric] = known["mean"]
        frame[f"± {metric}"] = half_width.where(known["n_perturbations"] >= FEWEST_SHOWN)
        columns |= {
            f"{sign}{metric}": Column(f"{sign}{MAIN_METRICS[metric]}", n_decimals=3) for sign in ("", "± ")
        }
    frame = frame.reset_index()
    frame.insert(1, "model", frame.pop("variant").replace(LABELS))
    caption = f"Models on {split} perturbations, by effect size ({folder.name})"
    return build_page_table(frame, caption, columns, CAPTION)


_ACCESS_COLUMNS = (
    *("at", "study", "models", "n_seeds", "refit"),
    *("config_digest", "data_fingerprint", "trained_on", "git_commit", "folder"),
)


def build_accesses(accesses: Sequence[Access]) -> list[Part]:
    """Lay out when the test split was opened, for what, and by which code."""
    if not accesses:
        return [Paragraph("The test split was not opened in this workspace.")]
    rows = [
        asdict(access)
        | {
            "models": ", ".join(access.models),
            "study": ", ".join(filter(None, access.studies)),
            "trained_on": access.trained_on or access.data_fingerprint,
            "config_digest": ", ".join(
                [access.config_digest, *(str(other["config_digest"]) for other in access.others)]
            ),
        }
        for access in accesses
    ]
    frame = pd.DataFrame(rows)[list(_ACCESS_COLUMNS)]
    columns = {
        "at": Column("at", "UTC"),
        "n_seeds": Column("seeds"),
        "refit": Column("learned from"),
        "config_digest": Column("config"),
        "data_fingerprint": Column("data"),
        "trained_on": Column("models of data"),
    }
    frame["git_commit"] = frame["git_commit"].str[:12]
    return [build_page_table(frame, "Accesses to the test split, earliest first", columns)]
