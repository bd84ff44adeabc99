import io
import json

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from scipy.stats import wilcoxon

from adapert.errors import InputError
from analysis.comparison import (
    CAPTION,
    MAIN_METRICS,
    build_paired_tables,
    build_tables,
    summarize_comparison,
    summarize_differences,
    write_comparison,
)

GROUPS = {"A": "large", "B": "small", "C": "small", "D": "small"}


@pytest.fixture
def frame(make_table):
    """Two seeds of adapert and one of ridge_both, whose values are their level plus 0.1 for D."""
    rows = [
        {
            "variant": variant,
            "seed": seed,
            "perturbation": name,
            "effect_size": group,
            "metric": metric,
            "value": level + 0.1 * (name == "D"),
        }
        for variant, seed, level in [("ridge_both", 0, 0.5), ("adapert", 0, 0.2), ("adapert", 1, 0.4)]
        for name, group in GROUPS.items()
        for metric in ("pds", "pearson_delta", "mse")
    ]
    return make_table(rows)


def printed(frame, split="test", width=80):
    console = Console(file=io.StringIO(), width=width)
    for table in build_tables(summarize_comparison(frame), split):
        console.print(table)
    return console.file.getvalue()


def test_the_summary_is_exact_and_ordered(frame):
    summary = summarize_comparison(frame)
    assert summary["effect_size"].unique().tolist() == ["all", "small", "large"]
    assert summary["variant"].unique().tolist() == ["ridge_both", "adapert"]
    assert summary["metric"].unique().tolist() == ["pearson_delta", "pds"]
    means = summary.set_index(["effect_size", "variant", "metric"])["mean"]
    assert means["all", "adapert", "pds"] == pytest.approx(0.3 + 0.1 / 4)
    assert means["small", "ridge_both", "pds"] == pytest.approx(0.5 + 0.1 / 3)
    counts = summary.set_index(["effect_size", "variant", "metric"])[["n_perturbations", "n_seeds"]]
    assert counts.loc[("all", "adapert", "pds")].tolist() == [4, 2]


def test_tables_name_split_group_and_fits(frame):
    text = printed(frame)
    assert "4 test perturbations\n" in "\n".join(line.rstrip() + "\n" for line in text.splitlines())
    assert "3 test perturbations of small effect" in text
    assert "1 test perturbation of large effect" in text
    assert "adapert, 2 fits" in text
    assert "DES@50" not in text


def test_a_cell_is_the_mean_and_half_its_interval(frame):
    summary = summarize_comparison(frame)
    row = summary[(summary["effect_size"] == "all") & (summary["variant"] == "adapert")].iloc[0]
    half = (row["high"] - row["low"]) / 2
    expected = f"{row['mean']:.3f} ±{half:.3f}".replace("0.", ".")
    assert expected in printed(frame)


def test_one_perturbation_has_no_interval_and_no_value_is_a_dash(frame):
    frame.loc[(frame["variant"] == "ridge_both") & (frame["metric"] == "pearson_delta"), "value"] = float(
        "nan"
    )
    lines = [line.split() for line in printed(frame).splitlines()]
    assert ["ridge_both", "-", ".500"] in lines


def test_a_single_group_is_not_printed_twice(frame):
    assert len(build_tables(summarize_comparison(frame.assign(effect_size="small")), "test")) == 1


def test_ceilings_are_named_as_such(frame):
    text = printed(frame.replace({"variant": {"ridge_both": "split_half"}}))
    assert "ceiling: split halves" in text


def test_tables_of_all_metrics_fit_into_80_columns(make_table):
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


def test_the_caption_says_what_plus_minus_is():
    assert CAPTION.startswith("± is half the width of the mean's 95% interval")


def write_more(folder):
    (folder / "more").write_text("more")


def test_differences_are_of_the_model_minus_each_reference(frame):
    paired = summarize_differences(frame)
    assert set(paired["variant"]) == {"adapert"}
    assert set(paired["reference"]) == {"ridge_both"}
    assert paired["effect_size"].unique().tolist() == ["all", "small", "large"]
    assert paired["metric"].unique().tolist() == ["pearson_delta", "pds", "mse"]
    rows = paired.set_index(["effect_size", "metric"])
    # Seeds at .2 and .4, beside one fit at .5.
    assert rows.loc[("all", "pds"), "difference"] == pytest.approx(-0.2)
    assert rows.loc[("all", "pds"), ["wins", "ties", "losses"]].tolist() == [0, 0, 4]
    assert rows.loc[("all", "mse"), ["wins", "ties", "losses"]].tolist() == [4, 0, 0]
    assert rows.loc[("all", "pds"), "low"] <= -0.2 <= rows.loc[("all", "pds"), "high"]
    assert rows.loc[("small", "pds"), ["n_perturbations", "n_seeds"]].tolist() == [3, 2]


def test_a_difference_has_the_p_of_scipys_signed_rank_test(make_table):
    generator = np.random.default_rng(0)
    values = {name: generator.normal(0.1 * (name == "adapert"), 0.2, 30) for name in ("adapert", "mean")}
    rows = [
        {"variant": name, "perturbation": f"G{index}", "metric": "pds", "value": value}
        for name, column in values.items()
        for index, value in enumerate(column)
    ]
    paired = summarize_differences(make_table(rows))
    row = paired[paired["effect_size"] == "all"].iloc[0]
    assert row["p_wilcoxon"] == pytest.approx(wilcoxon(values["adapert"], values["mean"]).pvalue)
    assert row["difference"] == pytest.approx((values["adapert"] - values["mean"]).mean())


def test_nothing_to_compare_gives_no_row_and_no_table(frame):
    for only in ("adapert", "ridge_both"):
        paired = summarize_differences(frame[frame["variant"] == only])
        assert paired.empty
        assert {"variant", "reference", "difference", "p_holm"} <= set(paired.columns)
        assert build_paired_tables(paired) == []


def test_a_ceiling_is_no_model_to_compare(frame):
    ceiling = frame[frame["variant"] == "ridge_both"].assign(variant="split_half")
    paired = summarize_differences(pd.concat([frame, ceiling]))
    assert "split_half" not in {*paired["variant"], *paired["reference"]}


def test_the_table_of_differences_fits_into_80_columns(make_table):
    rows = [
        {"variant": variant, "perturbation": f"G{index}", "metric": metric, "value": value * index}
        for variant, value in [("adapert_ensemble", -0.123), ("ridge_network", 0.9)]
        for metric in MAIN_METRICS
        for index in range(8)
    ]
    console = Console(file=io.StringIO(), width=80)
    for table in build_paired_tables(summarize_differences(make_table(rows))):
        console.print(table)
    title, head, row = (line.split() for line in console.file.getvalue().splitlines())
    assert title == ["adapert_ensemble", "minus", "each", "model"]
    assert head[:3] == ["model", "Pearson-delta", "PDS"]
    assert row[0] == "ridge_network"
    assert row[1].startswith("-")
    assert row[3].startswith("p=.0")


def test_a_comparison_is_written_whole_into_a_new_directory(frame, tmp_path):
    tables = (frame, summarize_comparison(frame), summarize_differences(frame))
    write_comparison(tmp_path / "out", *tables, {"opened": {"split": "test"}}, write_more)
    assert (tmp_path / "out" / "more").read_text() == "more"
    assert len(pd.read_csv(tmp_path / "out" / "paired.csv")) == 9
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "out" / "per_perturbation.parquet"), frame)
    assert len(pd.read_csv(tmp_path / "out" / "per_perturbation.csv")) == len(frame)
    assert len(pd.read_csv(tmp_path / "out" / "summary.csv")) == 12
    assert json.loads((tmp_path / "out" / "evaluation.json").read_text())["opened"] == {"split": "test"}
    with pytest.raises(InputError, match="must be new"):
        write_comparison(tmp_path / "out", *tables, {})


def test_a_comparison_that_cannot_be_written_leaves_nothing(frame, tmp_path):
    with pytest.raises(TypeError, match="not JSON serializable"):
        write_comparison(tmp_path / "out", frame, frame, frame, {"a": object()})
    assert list(tmp_path.iterdir()) == []
