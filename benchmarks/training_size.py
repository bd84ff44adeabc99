"""How validation Pearson-delta grows with the number of training perturbations.

    python -m benchmarks training_size --data DIR [OPTIONS]

A draw puts the training perturbations into an order, of which each fraction takes the first: a larger set
has all of a smaller one. The draw's seed is the models' too. Validation perturbations, by which epochs and
settings are chosen, are all there each time. Writes a table and a figure.
"""

import logging
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import yaml

from adapert.config import Config
from adapert.data.prepared import PreparedDataset, PreparedSplit, read_prepared
from adapert.data.regroup import take_perturbations, without_cells
from adapert.data.schema import SplitName
from adapert.evaluation.metrics import mean_over_perturbations, pds, pearson_delta
from adapert.process import log_levels
from adapert.registry import build_model
from adapert.seeding import numpy_generator
from adapert.study.plan.peers import published_config
from adapert.training.threads import threads
from analysis.figures.page import SCREEN, StyledFigure, build_figure
from analysis.figures.prediction import model_label
from analysis.figures.style import finish_axes, model_colours
from benchmarks.measurement import build_parser

MODELS = "adapert,kernel_ridge,kernel_loo"
FRACTIONS = "0.25,0.5,0.75,1"
METRICS = {"pearson_delta": pearson_delta, "pds": pds}


def nested_subsets(
    dataset: PreparedDataset, fractions: Sequence[float], seed: int
) -> Iterator[PreparedDataset]:
    """Yield the data set with each fraction of its training perturbations, each within the next larger."""
    train = dataset.splits["train"]
    n_train = len(train.table.perturbations)
    order = numpy_generator(seed, "training size").permutation(n_train)
    for fraction in fractions:
        rows = np.sort(order[: max(1, round(fraction * n_train))])
        splits: dict[SplitName, PreparedSplit] = {
            "train": take_perturbations(train, rows),
            "validation": dataset.splits["validation"],
        }
        yield replace(dataset, splits=splits)


def measure_growth(
    dataset: PreparedDataset,
    config: Config,
    models: Sequence[str],
    fractions: Sequence[float],
    n_draws: int,
    device: str = "cpu",
) -> pd.DataFrame:
    """Fit every model to every subset: model, draw, fraction, n_train, cpu_seconds and `METRICS` a row."""
    table = dataset.splits["validation"].table
    # Subsets copy training cells, which few models read.
    if not any(published_config(name, config).reads_training_cells for name in models):
        splits = dict(dataset.splits) | {"train": without_cells(dataset.splits["train"])}
        dataset = replace(dataset, splits=splits)
    asked, observed = table.perturbations.tolist(), np.asarray(table.delta, dtype=np.float64)
    rows = []
    for seed in range(n_draws):
        for fraction, subset in zip(fractions, nested_subsets(dataset, fractions, seed), strict=True):
            for name in models:
                started = time.process_time()
                model = build_model(published_config(name, config), seed, torch.device(device))
                model.fit(subset)
                predicted = np.asarray(model.predict(asked), dtype=np.float64)
                row = {
                    "model": name,
                    "draw": seed,
                    "fraction": fraction,
                    "n_train": len(subset.splits["train"].table.perturbations),
                    "cpu_seconds": time.process_time() - started,
                }
                for metric, function in METRICS.items():
                    row[metric] = mean_over_perturbations(function(predicted, observed))
                rows.append(row)
                logging.getLogger("adapert").info(
                    f"{name}, draw {seed}, {row['n_train']} perturbations: {row['pearson_delta']:.3f}"
                )
    return pd.DataFrame(rows)


def summarize_growth(growth: pd.DataFrame) -> pd.DataFrame:
    """Average over draws: model, n_train, and mean and SD of Pearson-delta."""
    values = growth.groupby(["model", "n_train"], sort=False)["pearson_delta"]
    return values.agg(mean="mean", sd="std").reset_index()


def plot_growth(summary: pd.DataFrame, n_draws: int, n_validation: int) -> StyledFigure:
    """Draw means and SDs against the number of training perturbations, a line a model."""
    caption = (
        f"Means over {n_draws} draws of the training perturbations, ± SD over draws, on {n_validation} "
        "validation perturbations, by which epochs and settings are chosen too. In a draw, a larger set has "
        "all of a smaller one."
    )
    figure, axes = build_figure(SCREEN, (1, 1), 2.6, "Pearson-delta by size of the training set", caption)
    (panel,) = axes.ravel()
    colours = model_colours(summary["model"])
    for name, rows in summary.groupby("model", sort=False):
        panel.errorbar(
            rows["n_train"],
            rows["mean"],
            rows["sd"].fillna(0),
            color=colours[str(name)],
            marker="o",
            label=model_label(str(name)),
        )
    panel.set_xlabel("training perturbations")
    panel.set_ylabel("Pearson-delta")
    panel.legend(frameon=False)
    finish_axes(panel)
    return figure


@log_levels({"adapert": logging.INFO})
def main(words: Sequence[str]) -> None:
    """Fit, print the table, and write it beside the figure."""
    parser = build_parser("benchmarks training_size", __doc__)
    parser.add_argument("--data", type=Path, required=True, help="prepared data set")
    parser.add_argument("--models", default=MODELS)
    parser.add_argument("--fractions", default=FRACTIONS)
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--set", action="append", default=[], dest="changes", metavar="FIELD=VALUE")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=Path("training_size"), help="stem of the CSV and the PNG")
    arguments = parser.parse_args(words)
    logging.basicConfig(format="%(message)s")
    changes = {
        name: yaml.safe_load(value) for name, value in (one.split("=", 1) for one in arguments.changes)
    }
    dataset = read_prepared(arguments.data)
    with threads(1):
        growth = measure_growth(
            dataset,
            Config().with_changes(changes),
            arguments.models.split(","),
            [float(fraction) for fraction in arguments.fractions.split(",")],
            arguments.draws,
            arguments.device,
        )
    growth.to_csv(arguments.out.with_suffix(".csv"), index=False)
    summary = summarize_growth(growth)
    cells = [f"{mean:.3f} ±{sd:.3f}" for mean, sd in zip(summary["mean"], summary["sd"], strict=True)]
    shown = summary.assign(cell=cells).pivot(index="model", columns="n_train", values="cell")
    print(f"{os.cpu_count()} cores, torch {torch.__version__}; data {dataset.fingerprint}")
    print(shown.reindex(summary["model"].unique()).to_string())
    with SCREEN.applied():
        n_validation = len(dataset.splits["validation"].table.perturbations)
        plot_growth(summary, arguments.draws, n_validation).savefig(arguments.out.with_suffix(".png"))
    print(f"Wrote {arguments.out.with_suffix('.csv')} and {arguments.out.with_suffix('.png')}")
