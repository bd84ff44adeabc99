"""A comparison as the long table, and as a record of what was opened."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

from adapert.comparison.plan import ComparisonPlan
from adapert.comparison.score import Scored
from adapert.comparison.transfer import Transfer
from adapert.config import Config
from adapert.data.prepared import PreparedDataset
from adapert.evaluation.long_table import build_long_table

STUDY = "evaluate"
"""What the long table has in place of a study's name."""

DATA_COLUMNS = ("trained_on", "scored_on")
"""Columns of an evaluation's long table after `LONG_COLUMNS`: fingerprints of the data."""


def build_comparison_table(
    scored: Sequence[Scored],
    dataset: PreparedDataset,
    plan: ComparisonPlan,
    trained_on: PreparedDataset | None = None,
) -> pd.DataFrame:
    """Lay out every row's metrics below each other, in `LONG_COLUMNS` and `DATA_COLUMNS`.

    Args:
        scored: Every row of the comparison.
        dataset: What it was compared on.
        plan: Names its split, and those that models learned from.
        trained_on: Data that models were trained on; None where they are these.
    """
    splits = (trained_on or dataset).splits
    learned = [name for part in plan.learned_from for name in splits[part].table.perturbations.tolist()]
    tables = []
    for row in scored:
        identity = {
            "run": f"{row.variant} seed {row.seed}",
            "study": STUDY,
            "variant": row.variant,
            "config_digest": row.config_digest,
            "seed": row.seed,
        }
        metrics = row.evaluation.per_perturbation
        tables.append(build_long_table(identity, dataset, plan.split, metrics, learned))
    data = ((trained_on or dataset).fingerprint, dataset.fingerprint)
    return pd.concat(tables, ignore_index=True).assign(**dict(zip(DATA_COLUMNS, data, strict=True)))


def describe_comparison(
    plan: ComparisonPlan,
    configs: Mapping[str, Config],
    dataset: PreparedDataset,
    scored: Sequence[Scored],
    files: Sequence[Mapping[str, str]] = (),
    transfer: Transfer | None = None,
) -> dict[str, Any]:
    """List what was opened and how it was scored, in words and numbers that JSON can hold.

    Args:
        plan: How it was compared.
        configs: Label to config that was given; the record has the first as ``config``, the others by label.
        dataset: What it was compared on.
        scored: Every row of the comparison.
        files: Of each file of predictions its name, checksum and form.
        transfer: What was asked of models of other data; None where `dataset` is their own.
    """
    first = scored[0].evaluation
    (_, first_config), *others = configs.items()
    return {
        "opened": {
            "split": plan.split,
            "n_perturbations": len(dataset.splits[plan.split].table.perturbations),
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "data_fingerprint": dataset.fingerprint,
            "trained_on": dataset.fingerprint if transfer is None else transfer.trained_on,
        },
        "transfer": None if transfer is None else asdict(transfer),
        "config": first_config.flat(),
        "further_configs": {label: config.flat() for label, config in others},
        "files": list(files),
        "refit": plan.refit,
        "emission": first.emission,
        "versions": dict(first.versions),
        "models": [
            {
                "variant": row.variant,
                "seed": row.seed,
                "config_digest": row.config_digest,
                "chosen": {} if row.model is None else row.model.chosen(),
                "clip_fraction": row.evaluation.clip_fraction,
                # JSON has no NaN.
                **{name: None if np.isnan(v) else v for name, v in row.evaluation.scalars.items()},
            }
            for row in scored
        ],
    }
