"""AdaPert, its seed ensemble and the reference models on real data, over several splits and seeds.

    python -m benchmarks.real_responses [OPTIONS] -- RESPONSES.h5ad --kind responses ...

Everything after ``--`` is given to `adapert prepare` (network and text too), once a split seed. Models are
fitted on the training split, epochs and settings chosen on validation, and the split that `--split` names
is scored.
"""

import argparse
import logging
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import torch
import yaml
from rich.console import Console

from adapert.cli.comparison import build_tables
from adapert.comparison.plan import ComparisonPlan
from adapert.comparison.score import compare, measure_ceilings
from adapert.comparison.summary import CAPTION, summarize_comparison
from adapert.comparison.table import build_comparison_table
from adapert.config import Config, read_config
from adapert.data.prepared import read_prepared
from adapert.process import log_levels
from benchmarks.measurement import build_parser

MODELS = "control,mean,neighbour,ridge_text,ridge_network,ridge_both,adapert"


def prepare(words: Sequence[str], split_seed: int, out: Path) -> None:
    """Prepare the data with a split of its own."""
    adapert = [sys.executable, "-c", "from adapert.cli import main; main()", "prepare", *words]
    command = [*adapert, "--split-seed", str(split_seed), "--out", str(out)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        sys.exit(ended.stderr)


def score_split(plan: ComparisonPlan, config: Config, data: Path) -> pd.DataFrame:
    """Fit and score every model on one split; the long table."""
    dataset = read_prepared(data, {"train", "validation", plan.split})
    rows = compare(plan, config, dataset) + measure_ceilings(plan, dataset)
    return build_comparison_table(rows, dataset, plan)


def read_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = build_parser("benchmarks.real_responses", __doc__)
    parser.add_argument("prepare", nargs="+", help="what 'adapert prepare' is given")
    parser.add_argument("--split", default="validation", choices=["validation", "test"])
    parser.add_argument("--split-seeds", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--models", default=MODELS)
    parser.add_argument("--config", type=Path, help="of AdaPert; the defaults otherwise")
    parser.add_argument("--set", action="append", default=[], dest="changes", metavar="FIELD=VALUE")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--out", type=Path, help="CSV for the summary")
    return parser.parse_args()


@log_levels({"adapert": logging.INFO})
def main() -> None:
    """Prepare every split, fit and score, and print the tables."""
    arguments = read_arguments()
    changes = {name: yaml.safe_load(value) for name, value in (c.split("=", 1) for c in arguments.changes)}
    config = (read_config(arguments.config) if arguments.config else Config()).with_changes(changes)
    plan = ComparisonPlan(
        models=arguments.models.split(","),
        split=arguments.split,
        n_seeds=arguments.seeds,
        use_ensembles=arguments.seeds > 1,
        device=arguments.device,
    )
    console = Console(highlight=False, width=100)
    logging.basicConfig(format="%(message)s")
    console.print(
        f"{os.cpu_count()} cores, Python {platform.python_version()}, torch {torch.__version__}; "
        f"{arguments.split_seeds} splits x {arguments.seeds} seeds, {arguments.split} perturbations"
    )
    tables = []
    with tempfile.TemporaryDirectory() as directory:
        for split_seed in range(arguments.split_seeds):
            data = Path(directory) / f"split_{split_seed}"
            print(data.name, file=sys.stderr, flush=True)
            prepare(arguments.prepare, split_seed, data)
            tables.append(score_split(plan, config, data))
    summary = summarize_comparison(pd.concat(tables, ignore_index=True))
    for table in build_tables(summary, arguments.split):
        console.print(table)
        console.print()
    console.print(CAPTION, markup=False)
    if arguments.out:
        summary.to_csv(arguments.out, index=False)


if __name__ == "__main__":
    main()
