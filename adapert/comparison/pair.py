"""A pair of trials, picked configs or config files: what differs, and what it does on validation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from adapert.comparison.summary import PAIRED_METRICS
from adapert.config import Config, read_config
from adapert.config.presets import locate_config, preset_names
from adapert.data.trial_graph import has_chance
from adapert.errors import format_count, join_words
from adapert.evaluation.catalogue import find_metric
from adapert.html import build_card, build_sentences, build_table
from adapert.records import TrialStatus
from adapert.results.find import RUN_ID, TRIAL_NAME, find_studies, find_trial, is_study_name, open_study
from adapert.results.load import load_per_perturbation
from adapert.selection.decide import pick_reevaluated
from adapert.statistics.paired import summarize_paired
from adapert.statistics.pairs import LABEL_MARK
from adapert.statistics.power import FEWEST_SEEDS, warn_of_tests
from adapert.statistics.questions import LEVEL
from adapert.statistics.two_level import CONFIDENCE
from adapert.study.engine.folders import study_names

MAIN_METRIC = "pearson_delta"

ROUNDING = 1e-5
"""Differences of a metric below it come of the order in which a machine adds numbers."""

N_EXAMPLES = 3
"""Perturbations named that gain most, and that lose most."""

FIRST, SECOND = "first", "second"
"""What stands behind a model's name in the variant of either."""

_SHOWN = (FIRST, SECOND, "difference", "low", "high", "p")
"""Columns of metrics that a notebook shows."""

_REPLICATE = ["split_seed", "seed"]


@dataclass(frozen=True)
class Side:
    """One side of a pair.

    Attributes:
        name: As the user named it.
        config: Its config.
        trials: Its finished trials, ``"search/007"``.
        frame: Their long table; empty where there is none.
        note: Why there is none, in a sentence; else empty.
    """

    name: str
    config: Config
    trials: tuple[str, ...]
    frame: pd.DataFrame
    note: str = ""


@dataclass(frozen=True)
class PairComparison:
    """A pair of configs and their trials, side by side.

    Attributes:
        first: What `second` is compared with.
        second: The other.
        config: Fields that differ: field, first, second; None where a side's model does not read the field.
        metrics: A row a metric: metric, first and second (means over what both were scored on), and
            `adapert.statistics.paired.PAIRED_COLUMNS` of second minus first. Without rows where they share no
            perturbation of a split.
        perturbations: A row a perturbation: perturbation, family, first, second, difference, all of
            Pearson-delta, the largest gain of the second first.
        sentences: What it comes to, in words.
        notes: What limits it, in sentences.
    """

    first: Side
    second: Side
    config: pd.DataFrame
    metrics: pd.DataFrame
    perturbations: pd.DataFrame
    sentences: tuple[str, ...]
    notes: tuple[str, ...]

    def _repr_html_(self) -> str:
        """Show a notebook what it comes to, the fields and the metrics."""
        names = (self.first.name, self.second.name)
        metrics = [
            (find_metric(row["metric"]).directed_label, *(row[each] for each in _SHOWN))
            for row in self.metrics.to_dict("records")
        ]
        return build_card(
            f"{names[1]} minus {names[0]}",
            build_sentences([*self.sentences, *self.notes]),
            build_table(("field", *names), self.config.to_numpy().tolist(), n_shown=30),
            build_table(("metric", *names, *_SHOWN[2:]), metrics) if metrics else "",
        )


def compare_pair(workspace: Path, first: str, second: str) -> PairComparison:
    """Compare two trials, studies or configs: their fields, and their metrics in pairs.

    Args:
        workspace: Workspace of the studies.
        first: ``"search/007"``, a run's id in MLflow, a study's name (its picked config, else its best
            trial), or a config file or preset; trials of a config are those of all studies of the workspace.
        second: The same.

    Raises:
        InputError: No such trial, study or config, or a damaged ledger or table.
    """
    sides = _find_sides(workspace, first, second)
    config = diff_configs(sides[0].config, sides[1].config)
    paired, notes = _pair(*sides)
    if paired.empty:
        empty = pd.DataFrame()
        return PairComparison(*sides, config, empty, empty, (), notes)
    metrics, perturbations = _compare_metrics(paired), _compare_perturbations(paired)
    families = perturbations["family"].tolist()
    # What it says of seeds is advice for a study.
    warnings = warn_of_tests(families, FEWEST_SEEDS, n_tests=1) if families else ()
    sentences = _describe(sides[0].name, sides[1].name, metrics, perturbations)
    return PairComparison(*sides, config, metrics, perturbations, sentences, (*notes, *warnings))


def diff_configs(first: Config, second: Config) -> pd.DataFrame:
    """List the fields in which two configs differ, of those that their models read.

    Returns:
        Columns field, first and second. Where only one model reads a field, it is listed if it is not at its
        default, and None stands for the other. Where the data are does not count.
    """
    values = (first.settings(), second.settings())
    defaults: Mapping[str, Any] = type(first)().flat() | type(second)().flat()
    rows = []
    for field in defaults:
        known = [own[field] for own in values if field in own]
        is_other = known[0] != known[1] if len(known) == 2 else known not in ([], [defaults[field]])
        if is_other and not (field == "data.path" or (field == "data.fingerprint" and "" in known)):
            rows.append((field, *(own.get(field) for own in values)))
    return pd.DataFrame(rows, columns=["field", "first", "second"], dtype=object)


def _find_sides(workspace: Path, first: str, second: str) -> tuple[Side, Side]:
    """Find both; a config file that names no data is taken to be of the other's."""
    given = (first, second)
    files = [read_config(path) if (path := _locate_file(workspace, name)) else None for name in given]
    found = [None if file else _find_tried(workspace, name) for name, file in zip(given, files, strict=True)]
    configs = [*filter(None, files), *(side.config for side in found if side)]
    fingerprint = next(filter(None, (config.data.fingerprint for config in configs)), "")
    one, other = (
        side or _find_config(workspace, name, file or Config(), fingerprint)
        for name, file, side in zip(given, files, found, strict=True)
    )
    return one, other


def _locate_file(workspace: Path, given: str) -> Path | None:
    """Find the file of a config; None where a trial or a study is named."""
    is_trial = TRIAL_NAME.fullmatch(given) and not Path(given).is_file()
    if RUN_ID.fullmatch(given) or is_trial or given in study_names(workspace):
        return None
    return locate_config(Path(given)) if Path(given).suffix or given in preset_names() else None


def _find_tried(workspace: Path, given: str) -> Side:
    """Find a trial, or a study's picked config, else its best trial."""
    if is_study_name(given) and (study := open_study(workspace, given)).picked:
        picked = pick_reevaluated(workspace, study)
        return _load(workspace, given, picked.config, picked.trials)
    _, trial = find_trial(workspace, given)
    # Not `is_finished`: a constant prediction has no Pearson-delta, but other metrics.
    if trial.status != TrialStatus.FINISHED:
        note = f"{trial.name} is {trial.status}, so it has no metrics to compare."
        return _load(workspace, trial.name, trial.build_config(), (), note)
    return _load(workspace, trial.name, trial.build_config(), [trial.name])


def _find_config(workspace: Path, given: str, config: Config, fingerprint: str) -> Side:
    """Find the trials of a config in every study."""
    if not config.data.fingerprint:
        config = config.with_changes({"data.fingerprint": fingerprint})
    digest = config.digest()
    trials = [
        trial.name
        for name in find_studies(workspace, digest)
        for trial in open_study(workspace, name).trials
        if trial.status == TrialStatus.FINISHED and trial.config_digest == digest
    ]
    note = "" if trials else f"No study of '{workspace}' has a finished trial of {given}."
    return _load(workspace, given, config, trials, note)


def _load(workspace: Path, name: str, config: Config, trials: Sequence[str], note: str = "") -> Side:
    studies = dict.fromkeys(trial.partition("/")[0] for trial in trials)
    frames = [load_per_perturbation(open_study(workspace, study), trials) for study in studies]
    frame = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
    return Side(name, config, tuple(trials), frame, note)


def _pair(first: Side, second: Side) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Join what both were scored on, as variants `FIRST` and `SECOND` of their models.

    Returns:
        Rows of the long table, none where nothing compares; and the reason, or what weakens it, in sentences.
    """
    sides, nothing = (first, second), pd.DataFrame()
    if first.frame.empty or second.frame.empty:
        return nothing, tuple(side.note for side in sides if side.note)
    fingerprints = [side.config.data.fingerprint for side in sides]
    if len(set(fingerprints)) > 1:
        return nothing, (f"Their metrics do not compare: their data are {join_words(fingerprints)}.",)
    frames = [
        side.frame.assign(variant=f"{side.config.model.name}{LABEL_MARK}{place}")
        for side, place in zip(sides, (FIRST, SECOND), strict=True)
    ]
    of_split = [set(frame["split_seed"]) for frame in frames]
    if not (splits := of_split[0] & of_split[1]):
        return nothing, ("Their metrics do not compare: they were scored on different splits.",)
    frames = [frame[frame["split_seed"].isin(splits)] for frame in frames]
    notes: tuple[str, ...] = ()
    if all(has_chance(side.config) for side in sides):
        frames, notes = _pair_seeds(frames)
    joined = pd.concat(frames, ignore_index=True)
    return joined[joined["metric"].isin(PAIRED_METRICS)], notes


def _pair_seeds(frames: Sequence[pd.DataFrame]) -> tuple[list[pd.DataFrame], tuple[str, ...]]:
    """Keep the seeds that both have; where there are none, average each over its own."""
    seeds = [pd.MultiIndex.from_frame(frame[_REPLICATE]) for frame in frames]
    shared = seeds[0].intersection(seeds[1]).unique()
    if shared.empty:
        note = "They share no seed, so part of the difference may be that between seeds."
        return [_average_seeds(frame) for frame in frames], (note,)
    kept = [frame[own.isin(shared)] for frame, own in zip(frames, seeds, strict=True)]
    if len(shared) == 1:
        return kept, ("Each was trained with one seed, and another could turn the difference.",)
    return kept, ()


def _average_seeds(frame: pd.DataFrame) -> pd.DataFrame:
    """Average each perturbation's values over seeds, as if by one."""
    keys = ["variant", "split_seed", "perturbation", "metric"]
    means = frame.groupby(keys, as_index=False)["value"].mean()
    families = frame[["perturbation", "family"]].drop_duplicates()
    averaged: pd.DataFrame = means.merge(families, on="perturbation").assign(seed=0)
    return averaged


def _compare_metrics(paired: pd.DataFrame) -> pd.DataFrame:
    first, second = dict.fromkeys(paired["variant"])
    differences = summarize_paired(paired, first, keys=())
    by_perturbation = paired.groupby(["metric", "perturbation", "variant"])["value"].mean()
    # Of those that both have, as the differences are.
    means = by_perturbation.unstack("variant").dropna().groupby("metric").mean()
    named = means.rename(columns={first: FIRST, second: SECOND}).reset_index()
    compared: pd.DataFrame = named.merge(differences.drop(columns="variant"), on="metric")
    in_order: pd.DataFrame = compared.set_index("metric").reindex(
        [metric for metric in PAIRED_METRICS if metric in set(compared["metric"])]
    )
    return in_order.reset_index()


def _compare_perturbations(paired: pd.DataFrame) -> pd.DataFrame:
    first, second = dict.fromkeys(paired["variant"])
    main = paired[paired["metric"] == MAIN_METRIC]
    means = main.groupby(["perturbation", "family", "variant"])["value"].mean().unstack("variant")
    named: pd.DataFrame = means.rename(columns={first: FIRST, second: SECOND}).dropna().reset_index()
    named = named.rename_axis(columns=None).assign(difference=named[SECOND] - named[FIRST])
    sorted_: pd.DataFrame = named.sort_values(
        ["difference", "perturbation"], ascending=[False, True], ignore_index=True
    )
    return sorted_


def _describe(first: str, second: str, metrics: pd.DataFrame, perturbations: pd.DataFrame) -> tuple[str, ...]:
    """Say in words what a pair differs by in Pearson-delta."""
    by_metric = metrics.set_index("metric")
    if MAIN_METRIC not in by_metric.index:
        label = find_metric(MAIN_METRIC).label
        return (f"One of the two has no {label}: a prediction that is the same for all genes has none.",)
    row = by_metric.loc[MAIN_METRIC].to_dict()
    label, difference = find_metric(MAIN_METRIC).label, float(row["difference"])
    n = format_count(row["n_perturbations"], "validation perturbation")
    interval = ""
    if row["low"] == row["low"]:
        interval = f" ({CONFIDENCE:.0%} interval {row['low']:+.3f} to {row['high']:+.3f})"
    if not (row["wins"] or row["losses"]):
        return (f"Over {n}, {first} and {second} have the same {label}.",)
    if perturbations["difference"].abs().max() < ROUNDING:
        return (f"Over {n}, {first} and {second} have the same {label} but for rounding.",)
    size = f"{abs(difference):.3f}" if abs(difference) >= 0.0005 else "less than 0.001"
    said = (
        f"Over {n}, the {label} of {second} is {size} "
        f"{'higher' if difference >= 0 else 'lower'} than that of {first}{interval}; {second} is better on "
        f"{int(row['wins'])} of them, worse on {int(row['losses'])}."
    )
    p = float(row["p"])
    if p != p:
        verdict = "One perturbation is too few for a test."
    elif p < LEVEL:
        verdict = f"So large a difference is unlikely to be chance (p = {p:.2g})."
    else:
        verdict = f"The difference may be chance (p = {p:.2g})."
    gains = perturbations[perturbations["difference"] > 0].head(N_EXAMPLES)
    losses = perturbations[perturbations["difference"] < 0].tail(N_EXAMPLES)[::-1]
    examples = [
        f"{word}: " + ", ".join(f"{each.perturbation} ({each.difference:+.3f})" for each in rows.itertuples())
        for word, rows in (("Better predicted", gains), ("Worse predicted", losses))
        if len(rows)
    ]
    return (said, verdict, *(f"{example}." for example in examples))
