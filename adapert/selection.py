"""Pick a config on validation Pearson-delta."""

from dataclasses import dataclass

import pandas as pd

from adapert.config import Config, build_config
from adapert.errors import InputError
from adapert.records import OBJECTIVE, TrialStatus
from adapert.tracking.read import read_trials


@dataclass(frozen=True)
class Pick:
    """The picked config and how it compares.

    Attributes:
        config: The best one.
        candidates: Finished configs, best first: config_digest, variant, pearson_delta (mean over seeds),
            pds at the same epochs, n_seeds, and the fields that differ between the trials.
        n_left_out: Trials stopped early, failed or interrupted, and those whose Pearson-delta is undefined.
    """

    config: Config
    candidates: pd.DataFrame
    n_left_out: int


def pick(tracking_uri: str, study: str) -> Pick:
    """Rank a study's finished configs by validation Pearson-delta, averaged over their seeds.

    Trials that the scheduler stopped were not given the same epochs and are left out.

    Args:
        tracking_uri: MLflow's.
        study: Name of the study.

    Raises:
        InputError: No such study, or no finished trial in it.
    """
    trials = read_trials(tracking_uri, study)
    finished = trials[trials["status"] == TrialStatus.FINISHED] if len(trials) else trials
    finished = finished.dropna(subset=[OBJECTIVE]) if OBJECTIVE in finished else finished.iloc[:0]
    if finished.empty:
        raise InputError(
            f"A config is picked among finished trials, but study '{study}' has none of its {len(trials)} "
            "trials finished. Launch it again under another name."
        )
    fields = [name for name in Config().flat() if name in finished and name != "data.path"]
    varied = [name for name in fields if trials[name].nunique(dropna=False) > 1]
    candidates = (
        finished.groupby("config_digest", sort=False)
        .agg(
            variant=("variant", "first"),
            pearson_delta=(OBJECTIVE, "mean"),
            pds=("best_pds", "mean"),
            n_seeds=("seed", "nunique"),
            **{name: (name, "first") for name in varied},
        )
        .reset_index()
        # The digest breaks ties, so that the order of runs in the store does not.
        .sort_values(["pearson_delta", "config_digest"], ascending=[False, True], ignore_index=True)
    )
    best = finished[finished["config_digest"] == candidates["config_digest"][0]].iloc[0]
    config = build_config({name: best[name] for name in [*fields, "data.path"]})
    return Pick(config, candidates, len(trials) - len(finished))
