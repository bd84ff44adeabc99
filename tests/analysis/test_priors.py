from pathlib import Path

import pandas as pd
import pytest
from fixtures.dataset import build_tiny_dataset, with_second_embeddings, with_second_network, write_prepared
from fixtures.narrowed import of_kind
from fixtures.store import MakeTable
from matplotlib.text import Text

from adapert.config import Config
from adapert.records import LONG_COLUMNS, PER_PERTURBATION_FILE
from adapert.results.ledger import LedgerResults
from adapert.study.engine.trial_files import trial_folder
from adapert.study.plan.study import Design
from adapert.testing import run_study
from analysis.figures.priors import plot_priors, summarize_priors
from analysis.priors import find_sources, load_priors
from analysis.report.systems import build_sources
from analysis.sources import draw_study_tables
from analysis.tables.priors import build_sources_table
from studies.priors import study

LEVELS = {"full": 0.5, "zebra": 0.48, "ape_and_net": 0.42, "ape": 0.4, "net": 0.38, "none": 0.3}
SOURCES = {"full": "zebra+ape+net", "zebra": "zebra", "ape_and_net": "ape+net", "ape": "ape", "net": "net"}


@pytest.fixture
def table(make_table: MakeTable) -> pd.DataFrame:
    """Of the recipe's order, which is not the alphabet's; every perturbation has a level of its own."""
    rows = (
        {"variant": variant, "sources": SOURCES.get(variant, ""), "perturbation": f"{group}{n}",
         "effect_size": group, "metric": metric, "seed": seed, "value": level * (1 + n / 100) * scale}
        for variant, level in LEVELS.items()
        for group in ("small", "large")
        for n in range(8)
        for metric, scale in (("pearson_delta", 1.0), ("pds", 1.5))
        for seed in (0, 1)
    )  # fmt: skip
    return make_table(rows, study="priors")


def test_combinations_are_in_the_recipes_order_under_their_sources(table: pd.DataFrame) -> None:
    summary = summarize_priors(table)
    combinations = summary[summary["part"] == "combination"]
    assert combinations["name"].drop_duplicates().tolist() == [
        "zebra + ape + net", "zebra", "ape + net", "ape", "net", "none"
    ]  # fmt: skip
    means = combinations[combinations["metric"] == "pds"].set_index("name")["mean"]
    assert means["none"] == pytest.approx(0.3 * 1.035 * 1.5)


def test_each_source_has_its_worth_alone_and_beside_the_others(table: pd.DataFrame) -> None:
    summary = summarize_priors(table)
    worth = summary[(summary["part"] == "worth") & (summary["metric"] == "pearson_delta")]
    means = {(row["name"], row["role"]): row["mean"] for _, row in worth.iterrows()}
    assert means == pytest.approx(
        {
            ("zebra", "alone"): 0.18 * 1.035,
            ("zebra", "beside the others"): 0.08 * 1.035,
            ("ape", "alone"): 0.10 * 1.035,
            ("ape", "beside the others"): 0.04 * 1.035,  # beside net: no variant is of zebra and net
            ("net", "alone"): 0.08 * 1.035,
            ("net", "beside the others"): 0.02 * 1.035,
        }
    )
    assert worth["is_different"].all()


def test_the_figure_has_a_column_a_metric_and_names_variants_and_sources(table: pd.DataFrame) -> None:
    figure = plot_priors(summarize_priors(table))
    labels = [[text.get_text() for text in axes.get_yticklabels()] for axes in figure.axes]
    assert labels[0] == ["zebra + ape + net", "zebra", "ape + net", "ape", "net", "none"]
    assert labels[2] == ["zebra", "ape", "net"]
    assert [axes.get_xlabel() for axes in figure.axes] == [
        "Pearson-delta ↑", "PDS ↑", "difference in Pearson-delta", "difference in PDS"
    ]  # fmt: skip
    texts = " ".join(text.get_text() for text in figure.findobj(Text) if isinstance(text, Text))
    assert "every source, alone and beside the others" in " ".join(texts.split())
    figure.draw_without_rendering()


def test_a_study_of_one_variant_is_drawn_without_differences(table: pd.DataFrame) -> None:
    figure = plot_priors(summarize_priors(table[table["variant"] == "full"]))
    assert len(figure.axes) == 2


def test_the_table_counts_wins_of_its_first_metric(table: pd.DataFrame) -> None:
    is_worse = (table["metric"] == "pds") & (table["variant"] == "zebra")
    built = build_sources_table(table.assign(value=table["value"].mask(is_worse, 0.1)))
    first = built.cells.iloc[0]
    assert (first["Source"], first["Read"], first["With, without"]) == ("zebra", "alone", "zebra, none")
    assert first["wins : losses"] == "16 : 0"
    assert first["Pearson-delta ↑"].startswith("+0.186 [")
    assert first["PDS ↑"].startswith("-0.366 [")
    assert set(built.frame["effect_size"]) == {"all", "small", "large"}


@pytest.fixture
def results(tmp_path: Path, table: pd.DataFrame) -> LedgerResults:
    """The recipe's study of two sources of embeddings and two networks, whose long tables are made up."""
    write_prepared(with_second_embeddings(with_second_network(build_tiny_dataset())), tmp_path / "data")
    base = Config().with_changes({"data.path": str(tmp_path / "data"), "model.name": "kernel_ridge"})
    made = study(base).with_budget(n_seeds=1)
    run_study(made, tmp_path / "priors")
    results = LedgerResults(tmp_path / "priors")
    variants = list(of_kind(Design, made.plan).variants)
    for trial in results.trials:
        level = 0.5 - 0.01 * variants.index(trial.variant)
        own = table[(table["variant"] == "full") & (table["seed"] == 0)]
        rows = own.assign(variant=trial.variant, value=own["value"] * level, run=trial.name)
        folder = trial_folder(tmp_path / "priors", trial.trial_id)
        folder.mkdir(parents=True, exist_ok=True)
        rows[list(LONG_COLUMNS)].to_parquet(folder / PER_PERTURBATION_FILE)
    return LedgerResults(tmp_path / "priors")


def test_what_a_variant_reads_is_read_from_its_trials_config(results: LedgerResults) -> None:
    sources = find_sources(load_priors(results))
    assert list(sources)[:2] == ["full", "text_and_rpe1_and_go"]
    assert sources["full"] == {"text", "rpe1", "network"}
    assert sources["rpe1_and_go"] == {"rpe1", "go"}
    assert sources["none"] == frozenset()
    assert len(sources) == 12


def test_the_table_is_written_and_laid_out_on_the_page(results: LedgerResults, tmp_path: Path) -> None:
    paths = draw_study_tables([results], tmp_path / "figures")
    assert [path.name for path in paths] == ["table_sources.csv", "table_sources.md", "table_sources.tex"]
    assert draw_study_tables([results], tmp_path / "others", only=["table_leaderboard"]) == []
    (part,) = build_sources(results, "validation")
    assert "What each source is worth, study 'priors'" in str(part)
