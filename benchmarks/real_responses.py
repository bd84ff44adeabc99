"""Test metrics of AdaPert beside reference models on a prepared data set.

    python -m benchmarks.real_responses DATA [--seeds 3] [--config CONFIG.yaml] [--set FIELD=VALUE]

Trains on the training split, chooses epochs and penalties on validation, and scores on test.
"""

import argparse
import os
import platform
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import yaml

from adapert.config import Config, read_config
from adapert.data.prepared import PreparedDataset, read_prepared
from adapert.data.schema import SPLITS, FloatArray
from adapert.evaluation.metrics import cheap_metrics, mean_over_perturbations
from adapert.models.protocol import PerturbationModel
from adapert.models.reference import REFERENCE_MODELS
from adapert.training.fit import FittedAdaPert

METRICS = ("pearson_delta", "pds", "rank_overlap_at_50")


def score(model: PerturbationModel, dataset: PreparedDataset, split: str) -> FloatArray:
    """Average each of `METRICS` over a split's perturbations."""
    table = dataset.splits[split].table
    predicted = model.predict(list(table.perturbations))
    metrics = cheap_metrics(predicted, table.delta, table.deg_mask)
    return np.array([mean_over_perturbations(metrics[name]) for name in METRICS])


def print_row(name: str, scores: Sequence[FloatArray], seconds: float) -> None:
    """Print a model's mean and SD over seeds."""
    mean = np.mean(scores, axis=0)
    spread = np.std(scores, axis=0, ddof=1) if len(scores) > 1 else np.zeros(len(METRICS))
    cells = "  ".join(f"{m:.3f} ±{s:.3f}" for m, s in zip(mean, spread, strict=True))
    print(f"{name:<16}{cells}  {seconds:6.1f} s")


def main() -> None:
    """Fit and score every model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--config", type=Path, help="a picked config; the defaults otherwise")
    parser.add_argument("--split", default="test", choices=["validation", "test"])
    parser.add_argument("--set", action="append", default=[], dest="changes")
    arguments = parser.parse_args()
    changes = {name: yaml.safe_load(value) for name, value in (c.split("=") for c in arguments.changes)}
    base = read_config(arguments.config) if arguments.config else Config()
    config = base.with_changes(changes)
    dataset = read_prepared(arguments.data, SPLITS)
    table = dataset.splits[arguments.split].table
    print(
        f"{len(table.perturbations)} {arguments.split} perturbations x {dataset.n_genes} genes, "
        f"{dataset.n_nodes} nodes; {os.cpu_count()} cores, torch {torch.__version__}, "
        f"Python {platform.python_version()}; ± is the SD over {arguments.seeds} seeds"
    )
    print(f"{'model':<16}{'Pearson-delta':<15}{'PDS':<15}rank overlap at 50")
    for name, build in REFERENCE_MODELS.items():
        started = time.perf_counter()
        model = build()
        model.fit(dataset)
        print_row(name, [score(model, dataset, arguments.split)], time.perf_counter() - started)
    started, scores = time.perf_counter(), []
    for seed in range(arguments.seeds):
        adapert = FittedAdaPert(config, seed, torch.device("cpu"))
        adapert.fit(dataset)
        scores.append(score(adapert, dataset, arguments.split))
    print_row("adapert", scores, time.perf_counter() - started)


if __name__ == "__main__":
    main()
