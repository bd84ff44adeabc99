"""Tables 1, 2, 3 and 10 from comparisons of systems: a row a system, a group of columns a data set."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from adapert.comparison.summary import PDS_CAPTION
from adapert.data.schema import EFFECT_SIZES, BoolArray
from adapert.errors import format_count, join_words
from adapert.evaluation.catalogue import find_metric
from adapert.statistics.estimates import CONFIDENCE
from adapert.statistics.pairs import ALL
from adapert.statistics.questions import BEST, LEVEL
from analysis.figures.prediction import model_label
from analysis.predictions import MODEL
from analysis.tables.effect_sizes import NO_GAIN_CAPTION, choose_size_metrics, write_gain
from analysis.tables.leaderboard import CHOSEN_HERE, OWN_VERSIONS
from analysis.tables.performance import (
    DE_METRICS,
    GLOBAL_METRICS,
    SCALAR_CAPTION,
    SD_CAPTION,
    STAND_IN_CAPTION,
    choose_de_metrics,
)
from analysis.tables.system_scores import Compared, Scores, order_systems
from analysis.tables.table import MISSING, PaperTable, decimal

SYSTEM_STEMS = ("table_1_systems", "table_2_systems", "table_3_systems")
PERFORMANCE_STEM, DE_STEM, SIZES_STEM = SYSTEM_STEMS

LEVEL_MARK = " †"

_READS, _SYSTEM, _SIZE = ("", "Reads"), ("", "System"), ("", "Effect size")

_GAIN = f"{model_label(MODEL)}'s gain"

_SYSTEMS = (
    "Systems as picked after equal searches, or with their defaults without one, by what they read of genes "
    "that were not perturbed in training."
)

_MARKS = (
    f"Bold: the best of a column. †: not significantly different from it, p at least {LEVEL:g} "
    f"({BEST.rule}), data set by data set."
)


def build_system_tables(compared: Mapping[str, Compared]) -> list[PaperTable]:
    """Build Tables 1, 2 (the paper's 10 for its other data set) and 3 from comparisons of systems.

    Args:
        compared: Name of a data set to its comparison, in the order of the columns.

    Returns:
        Three tables; no Table 3 where all perturbations of every data set are of one effect size. Their
        frames are those of `summarize_systems` below each other, beside data, study and data_fingerprint.
    """
    scores = {name: Scores.of(one) for name, one in compared.items()}
    systems = order_systems(scores)
    of_globals = dict.fromkeys(compared, GLOBAL_METRICS)
    of_degs = {name: choose_de_metrics(one.frame) for name, one in compared.items()}
    note, de_note = f"{SD_CAPTION} {PDS_CAPTION}", f"{SD_CAPTION} {_describe_degs(of_degs)}"
    tables = [
        _build_flat(PERFORMANCE_STEM, "Performance", note, compared, scores, systems, of_globals),
        _build_flat(DE_STEM, "Differential expression", de_note, compared, scores, systems, of_degs),
    ]
    has_sizes = any(one.frame["effect_size"].nunique() > 1 for one in compared.values())
    return [*tables, _build_by_size(compared, scores, systems)] if has_sizes else tables


def _build_flat(
    stem: str,
    title: str,
    note: str,
    compared: Mapping[str, Compared],
    scores: Mapping[str, Scores],
    systems: Mapping[str, str],
    metrics: Mapping[str, Sequence[str]],
) -> PaperTable:
    """Build a table over all perturbations: a row a system."""
    cells = pd.DataFrame({_READS: _name_groups(systems), _SYSTEM: list(map(model_label, systems))})
    is_best = [np.zeros((len(systems), 2), dtype=bool)]
    for name, one in scores.items():
        for metric in metrics[name]:
            found = [one.find(system, metric) for system in systems]
            cells[name, find_metric(metric).directed_label] = [_write(row, is_spread=True) for row in found]
            is_best.append(_best_of(found))
    return PaperTable(
        stem=stem,
        title=f"{title} of systems, {', '.join(compared)}",
        caption=" ".join([_describe(compared, scores), note, *_explain(scores, systems), *_close(compared)]),
        frame=_identify(compared, scores, metrics, [ALL]),
        cells=cells,
        is_best=np.hstack(is_best),
        n_names=2,
    )


def _build_by_size(
    compared: Mapping[str, Compared], scores: Mapping[str, Scores], systems: Mapping[str, str]
) -> PaperTable:
    """Build Table 3: each effect size has a row a system, and what AdaPert gains on the best other."""
    metrics = {name: choose_size_metrics(one.frame) for name, one in compared.items()}
    sizes = [size for size in EFFECT_SIZES if any(one.has(size) for one in scores.values())]
    has_gain = any(one.gain is not None for one in scores.values())
    rows: list[tuple[str, str | None]] = [
        (size, system) for size in sizes for system in (*systems, *([None] if has_gain else []))
    ]
    n_rows = len(rows) // len(sizes)
    cells = pd.DataFrame(
        {
            _SIZE: [size if not number % n_rows else "" for number, (size, _) in enumerate(rows)],
            _READS: [*_name_groups(systems), *([""] if has_gain else [])] * len(sizes),
            _SYSTEM: [_GAIN if system is None else model_label(system) for _, system in rows],
        }
    )
    is_best = [np.zeros((len(rows), 3), dtype=bool)]
    for name, one in scores.items():
        for metric in metrics[name]:
            found = [None if system is None else one.find(system, metric, size) for size, system in rows]
            written = [
                _write_gain(one.gain, metric, size) if system is None else _write(row)
                for row, (size, system) in zip(found, rows, strict=True)
            ]
            cells[name, find_metric(metric).directed_label] = written
            is_best.append(_best_of(found))
    notes = [_describe(compared, scores, sizes), "Means over perturbations, each averaged over fits."]
    notes += [_describe_gain(scores)] if has_gain else []
    return PaperTable(
        stem=SIZES_STEM,
        title=f"Systems by effect size, {', '.join(compared)}",
        caption=" ".join([*notes, *_explain(scores, systems), *_close(compared)]),
        frame=_identify(compared, scores, metrics, sizes),
        cells=cells,
        is_best=np.hstack(is_best),
        n_names=3,
    )


def _write(row: "pd.Series[float] | None", is_spread: bool = False) -> str:
    if row is None or np.isnan(row["mean"]):
        return MISSING
    return decimal(row["mean"], row["sd"] if is_spread else np.nan) + (LEVEL_MARK if row["is_level"] else "")


def _write_gain(gain: pd.DataFrame | None, metric: str, size: str) -> str:
    if gain is None:
        return MISSING
    found = gain[(gain["metric"] == metric) & (gain["effect_size"] == size)]
    return write_gain(found.iloc[0].to_dict()) if len(found) else MISSING


def _best_of(found: Iterable["pd.Series[float] | None"]) -> BoolArray:
    return np.array([[row is not None and bool(row["is_best"])] for row in found])


def _name_groups(systems: Mapping[str, str]) -> list[str]:
    """Name each group in its first row."""
    groups = list(systems.values())
    return [group if group not in groups[:row] else "" for row, group in enumerate(groups)]


def _describe(
    compared: Mapping[str, Compared], scores: Mapping[str, Scores], sizes: Sequence[str] = ()
) -> str:
    """Say what each group of columns is of."""
    said = []
    for name, one in compared.items():
        n_splits = one.frame["split_seed"].nunique()
        counts = [f"{scores[name].count(size)} {size}" for size in sizes if scores[name].has(size)]
        perturbations = format_count(scores[name].count(ALL), f"{one.split} perturbation")
        said.append(
            f"{name}: data {one.fingerprint}, study '{one.study}', {perturbations}"
            + (f" of {n_splits} splits" if n_splits > 1 else "")
            + (f" ({join_words(counts)})" if counts else "")
        )
    return f"{'; '.join(said)}. {_SYSTEMS}"


def _describe_degs(metrics: Mapping[str, Sequence[str]]) -> str:
    untested = [name for name, chosen in metrics.items() if tuple(chosen) != DE_METRICS]
    said = [f"{SCALAR_CAPTION} It is not tested."] if len(untested) < len(metrics) else []
    said += [f"{join_words(untested)}: {STAND_IN_CAPTION}"] if untested else []
    return " ".join(said)


def _describe_gain(scores: Mapping[str, Scores]) -> str:
    rivals = [
        f"{name}: {model_label(one.gain['baseline'].iloc[0].partition(':')[0])}"
        for name, one in scores.items()
        if one.gain is not None
    ]
    return (
        f"Gain: mean difference of {model_label(MODEL)} and the best other by "
        f"{find_metric(GLOBAL_METRICS[0]).label} ({', '.join(rivals)}) on the same perturbations, in percent "
        f"of the other's mean, with its {CONFIDENCE:.0%} interval; {NO_GAIN_CAPTION}."
    )


def _explain(scores: Mapping[str, Scores], systems: Mapping[str, str]) -> list[str]:
    """Say what bold and † mean, and why cells are empty or a system's group is not the same everywhere."""
    said = [_MARKS]
    for name, one in scores.items():
        if absent := [model_label(system) for system in systems if system not in set(one.summary["system"])]:
            said.append(f"Not compared on {name}: {join_words(absent)}.")
        groups = one.summary.drop_duplicates("system")[["system", "group"]].astype(str).to_numpy().tolist()
        less = [f"{model_label(system)} ({group})" for system, group in groups if systems[system] != group]
        if less:
            said.append(f"Reads less on {name}: {join_words(less)}.")
    if any(one.summary["mean"].isna().any() for one in scores.values()):
        said.append("A constant prediction has no correlation.")
    return said


def _close(compared: Mapping[str, Compared]) -> list[str]:
    within = ["Compare systems within a data set, not data sets."] if len(compared) > 1 else []
    return [*within, CHOSEN_HERE, OWN_VERSIONS]


def _identify(
    compared: Mapping[str, Compared],
    scores: Mapping[str, Scores],
    metrics: Mapping[str, Sequence[str]],
    sizes: Sequence[str],
) -> pd.DataFrame:
    """Put the rows that a table shows below each other, beside what they are of."""
    parts = []
    for name, one in compared.items():
        rows = scores[name].summary
        shown = rows[rows["metric"].isin(metrics[name]) & rows["effect_size"].isin(sizes)]
        identity = {"data": name, "study": one.study, "split": one.split, "data_fingerprint": one.fingerprint}
        parts.append(shown.assign(**identity)[[*identity, *shown.columns]])
    return pd.concat(parts, ignore_index=True)
