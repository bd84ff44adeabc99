import io

import pandas as pd
from fixtures.store import MakeTable
from rich.console import Console

from adapert.cli.comparison import (
    build_combination_tables,
    build_family_tables,
    build_paired_tables,
    build_tables,
    summarize_families,
    summarize_power,
)
from adapert.comparison.summary import (
    MAIN_METRICS,
    summarize_combinations,
    summarize_comparison,
    summarize_differences,
)
from adapert.statistics.pairs import FILE_MODEL, LABEL_MARK


def printed(frame: pd.DataFrame, split: str = "test", width: int = 80) -> str:
    console = Console(file=(file := io.StringIO()), width=width)
    for table in build_tables(summarize_comparison(frame), split):
        console.print(table)
    return file.getvalue()


def test_tables_name_split_group_and_fits(compared: pd.DataFrame) -> None:
    text = printed(compared)
    assert "4 test perturbations\n" in "\n".join(line.rstrip() + "\n" for line in text.splitlines())
    assert "3 test perturbations of small effect" in text
    assert "1 test perturbation of large effect" in text
    assert "adapert, 2 fits" in text
    assert "DES@50" not in text


def test_combinations_have_tables_by_their_unseen_genes(make_table: MakeTable) -> None:
    unseen = {"A+B": 0, "A+C": 1, "A+D": 1, "A": 0}
    metrics = ("pearson_delta", "rmse_top_10_degs", "rmse_top_20_degs", "l2_top_1000", "pds")
    rows = [
        {"perturbation": name, "n_unseen_genes": n, "metric": metric, "value": 0.25 + n}
        for name, n in unseen.items()
        for metric in metrics
    ]
    console = Console(file=(file := io.StringIO()), width=80)
    for table in build_combination_tables(summarize_combinations(make_table(rows)), "test"):
        console.print(table)
    lines = [line.split() for line in file.getvalue().splitlines()]
    titles = [" ".join(line) for line in lines if "combination" in " ".join(line)]
    assert titles == [
        "3 test combinations",
        "1 test combination with 0 unseen genes",
        "2 test combinations with 1 unseen gene",
    ]
    assert lines.count(["model", "Pearson-delta", "RMSE@10", "RMSE@20", "L2@1000"]) == 3
    assert ["full", "1.250", "1.250", "1.250", "1.250"] in lines
    assert build_combination_tables(summarize_combinations(make_table(rows[-5:])), "test") == []


def test_a_cell_is_the_mean_and_half_its_interval(compared: pd.DataFrame) -> None:
    summary = summarize_comparison(compared)
    row = summary[(summary["effect_size"] == "all") & (summary["variant"] == "adapert")].iloc[0]
    half = (row["high"] - row["low"]) / 2
    expected = f"{row['mean']:.3f} ±{half:.3f}".replace("0.", ".")
    assert expected in printed(compared)


def test_one_perturbation_has_no_interval_and_no_value_is_a_dash(compared: pd.DataFrame) -> None:
    is_missing = (compared["variant"] == "ridge_both") & (compared["metric"] == "pearson_delta")
    compared.loc[is_missing, "value"] = float("nan")
    lines = [line.split() for line in printed(compared).splitlines()]
    assert ["ridge_both", "-", ".500"] in lines


def test_a_single_group_is_not_printed_twice(compared: pd.DataFrame) -> None:
    assert len(build_tables(summarize_comparison(compared.assign(effect_size="small")), "test")) == 1


def test_ceilings_are_named_as_such(compared: pd.DataFrame) -> None:
    text = printed(compared.replace({"variant": {"ridge_both": "split_half"}}))
    assert "ceiling: split halves" in text


def test_tables_of_all_metrics_fit_into_80_columns(make_table: MakeTable) -> None:
    rows = [
        {"variant": variant, "perturbation": name, "effect_size": "medium", "metric": metric, "value": value}
        for variant in ("adapert_ensemble", "resampled")
        for name, value in [("A", -0.123), ("B", 0.9)]
        for metric in MAIN_METRICS
    ]
    text = printed(make_table(rows))
    assert "…" not in text
    assert len(text.splitlines()) == 4  # no line was broken
    assert all(head in text for head in MAIN_METRICS.values())


def test_the_table_of_differences_fits_into_80_columns(make_table: MakeTable) -> None:
    rows = [
        {"variant": variant, "perturbation": f"G{index}", "metric": metric, "value": value * index}
        for variant, value in [("adapert_ensemble", -0.123), ("ridge_network", 0.9)]
        for metric in MAIN_METRICS
        for index in range(8)
    ]
    console = Console(file=(file := io.StringIO()), width=80)
    for table in build_paired_tables(summarize_differences(make_table(rows))):
        console.print(table)
    title, head, row = (line.split() for line in file.getvalue().splitlines())
    assert title == ["adapert_ensemble", "minus", "each", "model"]
    assert head[:3] == ["model", "Pearson-delta", "PDS"]
    assert row[0] == "ridge_network"
    assert row[1].startswith("-")
    assert row[3].startswith("p=.0")


def test_nothing_to_compare_gives_no_table(compared: pd.DataFrame) -> None:
    for only in ("adapert", "ridge_both"):
        assert build_paired_tables(summarize_differences(compared[compared["variant"] == only])) == []


def related(make_table: MakeTable, n: int, size: int) -> pd.DataFrame:
    """Differences whose members of a family are nearly equal."""
    rows = [
        {
            "variant": variant,
            "perturbation": f"G{index:02d}",
            "family": f"F{index // size}",
            "metric": metric,
            "value": level * (index // size) + 0.01 * level * (index % 3),
        }
        for variant, level in [("adapert_ensemble", -0.123), ("ridge_network", 0.9)]
        for metric in MAIN_METRICS
        for index in range(n)
    ]
    return summarize_differences(make_table(rows))


def test_the_table_of_families_shows_icc_and_design_effect_within_80_columns(make_table: MakeTable) -> None:
    paired = related(make_table, 48, 4)
    console = Console(file=(file := io.StringIO()), width=80)
    for table in build_family_tables(paired):
        console.print(table)
    title, head, row = (line.split() for line in file.getvalue().splitlines())
    assert title[:5] == ["adapert_ensemble", "minus", "each", "model:", "ICC"]
    assert head[:3] == ["model", "Pearson-delta", "PDS"]
    assert row == ["ridge_network", *2 * ["1.000", "[1.000,", "1.000]", "4.0"]]
    assert summarize_families(paired).startswith("The 48 perturbations are of 12 families. Where members")
    assert "too narrow" not in summarize_families(paired)


def test_without_shared_families_there_is_no_table_of_them(make_table: MakeTable) -> None:
    paired = related(make_table, 12, 1)
    assert build_family_tables(paired) == []
    assert summarize_families(paired) == "Each of the 12 perturbations is a family of its own."


def test_power_is_said_of_the_half_widths_that_were_found(make_table: MakeTable) -> None:
    paired = related(make_table, 48, 4)
    row = paired[(paired["effect_size"] == "all") & (paired["metric"] == "pearson_delta")].iloc[0]
    # (1.96 + .84) / 1.96 of half the width.
    expected = f"{2.8016 / 1.9600 * (row['high'] - row['low']) / 2:.3f}".replace("0.", ".", 1)
    said, *warnings = summarize_power(paired, [f"F{index // 4}" for index in range(48)])
    assert f"Pearson-delta of about {expected} are detected here in 80% of cases, 1.43 times" in said
    assert warnings == [
        "Warning: One seed says nothing about other seeds: every p is about this one fit. Give --seeds 3 or "
        "more."
    ]


def test_models_without_chance_are_not_told_to_take_more_seeds(make_table: MakeTable) -> None:
    rows = [
        {"variant": name, "perturbation": f"G{index}", "metric": "pearson_delta", "value": value + index % 5}
        for name, value in ((f"{FILE_MODEL}{LABEL_MARK}theirs", 0.5), ("mean", 0.3))
        for index in range(48)
    ]
    paired = summarize_differences(make_table(rows))
    assert len(summarize_power(paired, [f"F{index // 4}" for index in range(48)])) == 1


def test_of_few_perturbations_no_interval_is_shown_and_nothing_is_written_as_0(make_table: MakeTable) -> None:
    rows = [
        {
            "variant": variant,
            "perturbation": f"G{index}",
            "effect_size": group,
            "metric": "pds",
            "value": value,
        }
        for variant, value in [("adapert", 0.5), ("ridge_both", 0.50002)]
        for group, numbers in [("small", range(6)), ("large", range(6, 8))]
        for index in numbers
    ]
    frame = make_table(rows)
    shown = " ".join(printed(frame).split())
    assert ".500 ±<.001" in shown
    large = shown[shown.index("of large effect") :]
    assert "±" not in large
    console = Console(file=(file := io.StringIO()), width=80)
    for table in build_paired_tables(summarize_differences(frame)):
        console.print(table)
    assert "-.000" not in file.getvalue()
