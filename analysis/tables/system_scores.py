"""What tables show of a comparison of systems: estimates, and what a test cannot tell from the best."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from adapert.data.schema import EFFECT_SIZES
from adapert.evaluation.catalogue import find_metric
from adapert.statistics.pairs import ALL, pool_effect_sizes
from adapert.statistics.questions import LEVEL, compare_with_best
from analysis.leaderboard.reads import GROUPS
from analysis.predictions import MODEL
from analysis.tables.effect_sizes import choose_size_metrics, summarize_improvement
from analysis.tables.performance import GLOBAL_METRICS, SCALAR, choose_de_metrics, summarize_performance


@dataclass(frozen=True, kw_only=True)
class Compared:
    """A comparison of systems on one data set, and one split of it.

    Attributes:
        study: Name of the study.
        fingerprint: Of the data set.
        frame: From `analysis.leaderboard.load.load_ranked`.
    """

    study: str
    fingerprint: str
    frame: pd.DataFrame

    @property
    def split(self) -> str:
        """Which perturbations the systems predicted."""
        return str(self.frame["split"].iloc[0])


@dataclass(frozen=True, kw_only=True)
class Scores:
    """What tables show of one data set.

    Attributes:
        summary: From `summarize_systems`.
        gain: From `find_gain`; None where there is none.
    """

    summary: pd.DataFrame
    gain: pd.DataFrame | None

    @classmethod
    def of(cls, compared: Compared) -> "Scores":
        """Compute them."""
        return cls(summary=summarize_systems(compared.frame), gain=find_gain(compared.frame))

    def find(self, system: str, metric: str, size: str = ALL) -> "pd.Series[float] | None":
        """Find the row of a system; None where there is none."""
        is_it = self.summary["system"].eq(system) & self.summary["metric"].eq(metric)
        found = self.summary[is_it & self.summary["effect_size"].eq(size)]
        return found.iloc[0] if len(found) else None

    def has(self, size: str) -> bool:
        """Whether there are perturbations of an effect size."""
        return bool((self.summary["effect_size"] == size).any())

    def count(self, size: str) -> int:
        """Perturbations of an effect size."""
        return int(self.summary.loc[self.summary["effect_size"] == size, "n_perturbations"].max())


def summarize_systems(frame: pd.DataFrame) -> pd.DataFrame:
    """Summarise a comparison of systems, with what tells each from the best.

    Args:
        frame: From `analysis.leaderboard.load.load_ranked`.

    Returns:
        A row an effect size (`ALL` first), system and metric of the tables: system, group, reads, the columns
        of `summarize_performance`, best (the variant of the best mean), difference, difference_low,
        difference_high, p and p_holm of the system minus that, from `compare_with_best`; is_best, and
        is_level where a test does not tell the system from the best; not where there is no test.
    """
    metrics = _shown_metrics(frame)
    tested = [metric for metric in metrics if metric != SCALAR]
    pooled = pool_effect_sizes(frame, ["effect_size"])
    sizes = [size for size in (ALL, *EFFECT_SIZES) if (pooled["effect_size"] == size).any()]
    summary = pd.concat(
        [
            summarize_performance(
                pooled[pooled["effect_size"] == size], metrics if size == ALL else tested
            ).assign(effect_size=size)
            for size in sizes
        ],
        ignore_index=True,
    )
    compared = compare_with_best(frame[frame["metric"].isin(tested)]).rename(
        columns={"reference": "best", "low": "difference_low", "high": "difference_high"}
    )
    keys = ["effect_size", "metric"]
    of_best = compared[[*keys, "best"]].drop_duplicates()
    columns = [*keys, "variant", "difference", "difference_low", "difference_high", "p", "p_holm"]
    summary = summary.merge(of_best, on=keys, how="left")
    summary = summary.merge(compared[columns], on=[*keys, "variant"], how="left")
    summary["is_best"] = _find_best(summary)
    # Where nothing is tested, as of one perturbation, p is NaN.
    summary["is_level"] = ~summary["is_best"] & (summary["p_holm"] >= LEVEL)
    facts = frame[["variant", "system", "group", "reads"]].drop_duplicates("variant")
    first = ["effect_size", "system", "group", "reads"]
    summary = summary.merge(facts, on="variant", how="left")
    return summary[[*first, *(name for name in summary if name not in first)]]


def _shown_metrics(frame: pd.DataFrame) -> list[str]:
    shown = (*GLOBAL_METRICS, *choose_de_metrics(frame), *choose_size_metrics(frame))
    return list(dict.fromkeys(shown))


def _find_best(summary: pd.DataFrame) -> "pd.Series[bool]":
    """Mark the best mean of each effect size and metric that two systems have."""
    gains = summary["mean"] * summary["metric"].map(lambda name: find_metric(name).gain)
    by_column = gains.groupby([summary["effect_size"], summary["metric"]])
    return gains.eq(by_column.transform("max")) & by_column.transform("count").gt(1)


def order_systems(scores: Mapping[str, Scores]) -> dict[str, str]:
    """Order systems from those that read nothing to those that read most, the best of a group first.

    Returns:
        System to its group: what it reads on the data set on which it reads most.
    """
    every = pd.concat([one.summary for one in scores.values()], ignore_index=True)
    every["place"] = every["group"].map(GROUPS.index)
    of_rank = every[(every["effect_size"] == ALL) & (every["metric"] == GLOBAL_METRICS[0])]
    means = of_rank.groupby("system")["mean"].mean()
    places = every.groupby("system")["place"].min()
    order = pd.DataFrame({"place": -places, "mean": -means.reindex(places.index)})
    order = order.sort_values(["place", "mean"], kind="stable")
    return {str(system): GROUPS[places[system]] for system in order.index}


def find_gain(frame: pd.DataFrame) -> pd.DataFrame | None:
    """Compare AdaPert with the other system of the best mean Pearson-delta; None without AdaPert, or alone.

    Returns:
        As `summarize_improvement`.
    """
    ranked = frame[frame["metric"] == GLOBAL_METRICS[0]]
    means = ranked.groupby(["system", "variant", "perturbation"], observed=True)["value"].mean()
    by_variant = means.groupby(level=["system", "variant"]).mean().dropna().reset_index()
    is_model = by_variant["system"] == MODEL
    others = by_variant[~is_model].set_index("variant")["value"]
    if not is_model.any() or others.empty:
        return None
    pair = str(by_variant.loc[is_model, "variant"].iloc[0]), str(others.idxmax())
    return summarize_improvement(frame[frame["variant"].isin(pair)], *pair)
