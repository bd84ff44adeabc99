from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest
from fixtures.narrowed import present
from fixtures.store import MakeTable
from scipy import stats

from adapert.statistics.questions import LEVEL
from adapert.statistics.significance import holm
from analysis.tables import PaperTable
from analysis.tables.system_scores import Compared, summarize_systems
from analysis.tables.systems import build_system_tables

SIZES = {"small": 9, "large": 11}
OF_CELLS = ("pearson_delta", "pds", "overlap_at_50", "overlap_at_100", "spearman_lfc", "direction_match")
METRICS = {
    "k562": (*OF_CELLS, "overlap_at_N", "n_predicted_degs"),
    "rpe1": ("pearson_delta", "pds", "rank_overlap_at_50", "rank_overlap_at_100", "rank_overlap_at_N"),
}
SYSTEMS = {
    "adapert:tuned": ("one network", "network, text", {"k562": 0.50, "rpe1": 0.40}),
    "txpert:tuned": ("several networks", "string, go", {"k562": 0.49, "rpe1": 0.20}),
    "kernel_ridge:tuned": ("one network", "network, text", {"k562": 0.30, "rpe1": 0.41}),
    "mean": ("nothing", "nothing", {"k562": 0.10}),
}


def build_frame(make_table: MakeTable, data: str, families: int = 0) -> pd.DataFrame:
    """One fit of each system on 20 perturbations, drawn around its level; their own, or of some families."""
    generator = np.random.default_rng(0)
    drawn = np.linspace(-0.1, 0.3, families or 1)
    rows = []
    for variant, (group, reads, levels) in SYSTEMS.items():
        if data not in levels:
            continue
        for size, n in SIZES.items():
            for number in range(n):
                own = drawn[number % families] * (variant == "txpert:tuned") if families else 0.0
                for metric in METRICS[data]:
                    scale = 100 if metric == "n_predicted_degs" else 1
                    value = levels[data] + own + generator.normal(0, 0.04)
                    rows.append(
                        {"variant": variant, "system": variant.partition(":")[0], "form": "tuned"}
                        | {"group": group, "reads": reads, "metric": metric, "value": scale * value}
                        | {"perturbation": f"{size}{number}", "effect_size": size, "n_degs": 5 + 3 * number}
                        | ({"family": f"F{number % families}"} if families else {})
                    )
    return make_table(rows, study=f"peers_{data}")


def compare(frames: Mapping[str, pd.DataFrame]) -> dict[str, Compared]:
    return {
        name: Compared(study=f"peers_{name}", fingerprint=f"f{number}", frame=frame)
        for number, (name, frame) in enumerate(frames.items())
    }


@pytest.fixture(scope="module")
def frames(make_table: MakeTable) -> dict[str, pd.DataFrame]:
    return {data: build_frame(make_table, data) for data in METRICS}


@pytest.fixture(scope="module")
def tables(frames: dict[str, pd.DataFrame]) -> list[PaperTable]:
    return build_system_tables(compare(frames))


def loop(frame: pd.DataFrame, variant: str, metric: str, size: str | None = None) -> list[float]:
    """Collect each perturbation's value in a plain loop."""
    return [
        float(row["value"])
        for row in frame.to_dict("records")
        if (row["variant"], row["metric"]) == (variant, metric) and size in (None, row["effect_size"])
    ]


def test_data_sets_stand_side_by_side_in_the_paper_s_shapes(tables: list[PaperTable]) -> None:
    performance, of_degs, by_size = (table.cells for table in tables)
    assert performance.columns.to_frame().to_numpy().tolist() == [
        *[["", "Reads"], ["", "System"]],
        *[[data, head] for data in METRICS for head in ("Pearson-delta ↑", "PDS ↑")],
    ]
    assert of_degs["k562"].columns.tolist() == [
        *["DES@50 ↑", "DES@100 ↑", "Spearman of DEG counts ↑", "Spearman of log fold changes ↑"],
        "Direction match ↑",
    ]
    assert by_size["k562"].columns.tolist() == [
        "Pearson-delta ↑",
        "DES@N ↑",
        "PDS ↑",
    ]
    # From those that read nothing to those that read most, the best of a group first.
    assert performance["", "System"].tolist() == [
        "mean change",
        "AdaPert",
        "kernel ridge",
        "TxPert (own version)",
    ]
    assert performance["", "Reads"].tolist() == ["nothing", "one network", "", "several networks"]
    assert by_size["", "Effect size"].tolist() == ["small", "", "", "", "", "large", "", "", "", ""]


def test_every_mean_and_sd_is_that_of_a_plain_loop(
    tables: list[PaperTable], frames: dict[str, pd.DataFrame]
) -> None:
    n_checked = 0
    for table in tables:
        for row in table.frame.query("metric != 'spearman_n_degs'").to_dict("records"):
            size = None if row["effect_size"] == "all" else row["effect_size"]
            values = loop(frames[row["data"]], row["variant"], row["metric"], size)
            assert row["mean"] == pytest.approx(np.mean(values), abs=1e-12)
            assert row["sd"] == pytest.approx(np.std(values, ddof=1), abs=1e-12)
            assert row["n_perturbations"] == len(values)
            n_checked += 1
    # Systems times metrics in Table 1, in Table 2, and in both groups of Table 3.
    assert n_checked == (4 + 3) * 2 + 4 * 4 + 3 * 2 + (4 + 3) * 3 * 2
    shown = tables[0].cells.set_index(("", "System"))["k562", "PDS ↑"]
    values = loop(frames["k562"], "kernel_ridge:tuned", "pds")
    assert shown["kernel ridge"] == f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}"


def test_deg_counts_correlate_as_scipy_says(
    tables: list[PaperTable], frames: dict[str, pd.DataFrame]
) -> None:
    frame = frames["k562"].query("metric == 'n_predicted_degs'")
    rows = tables[1].frame.query("metric == 'spearman_n_degs'").set_index("variant")
    for variant in SYSTEMS:
        of_variant = frame[frame["variant"] == variant]
        rho = stats.spearmanr(of_variant["value"], of_variant["n_degs"]).statistic
        assert rows.loc[variant, "mean"] == pytest.approx(rho)
    assert not rows["is_level"].any()


def test_a_mark_is_where_wilcoxon_and_holm_do_not_tell_a_system_from_the_best(
    tables: list[PaperTable], frames: dict[str, pd.DataFrame]
) -> None:
    frame = frames["k562"]
    shown = pd.concat([tables[0].frame, tables[2].frame]).query("data == 'k562'")
    summary = shown.drop_duplicates(["effect_size", "metric", "variant"])
    for metric in ("pearson_delta", "pds"):
        p: dict[tuple[str, str], float] = {}
        for size in ("all", *SIZES):
            chosen = None if size == "all" else size
            values = {name: np.array(loop(frame, name, metric, chosen)) for name in SYSTEMS}
            best = max(values, key=lambda name: values[name].mean())
            for name in SYSTEMS:
                if name != best:
                    p[size, name] = stats.wilcoxon(values[name] - values[best]).pvalue
        adjusted: dict[tuple[str, str], float] = {}
        for are_all in (True, False):
            family = {key: value for key, value in p.items() if (key[0] == "all") == are_all}
            adjusted |= dict(zip(family, holm(np.array(list(family.values()))), strict=True))
        rows = summary[summary["metric"] == metric].set_index(["effect_size", "variant"])
        assert rows["is_best"].sum() == 3
        for row in rows.reset_index().to_dict("records"):
            key = (row["effect_size"], row["variant"])
            if row["is_best"]:
                assert key not in adjusted
                continue
            assert row["p_holm"] == pytest.approx(adjusted[key])
            assert row["is_level"] == (adjusted[key] >= LEVEL)
    everywhere = summary.query("effect_size == 'all' and metric == 'pearson_delta'").set_index("system")
    assert everywhere["is_level"].to_dict() == {
        "adapert": False, "txpert": True, "kernel_ridge": False, "mean": False,
    }  # fmt: skip


def test_what_one_family_alone_would_decide_is_not_told_apart(make_table: MakeTable) -> None:
    related = build_frame(make_table, "rpe1", families=3).query("metric == 'pds'")
    alone = related.assign(family=related["perturbation"])
    rows = [
        summarize_systems(frame)
        .query("effect_size == 'all' and metric == 'pds' and system == 'txpert'")
        .iloc[0]
        for frame in (alone, related)
    ]
    assert rows[0]["mean"] == rows[1]["mean"]
    assert rows[0]["p_holm"] < LEVEL <= rows[1]["p_holm"]
    assert [row["is_level"] for row in rows] == [False, True]


def test_one_perturbation_has_no_test_and_so_no_mark(frames: dict[str, pd.DataFrame]) -> None:
    frame = frames["k562"]
    one = frame[(frame["effect_size"] == "large") | (frame["perturbation"] == "small0")]
    rows = summarize_systems(one).query("effect_size == 'small'")
    assert rows["p_holm"].isna().all()
    assert not rows["is_level"].any()


@pytest.mark.parametrize(("n", "has_interval"), [(3, False), (4, True)])
def test_a_gain_on_few_perturbations_has_no_interval(
    frames: dict[str, pd.DataFrame], n: int, has_interval: bool
) -> None:
    frame = frames["rpe1"]
    few = frame["effect_size"].ne("small") | frame["perturbation"].isin(
        [f"small{number}" for number in range(n)]
    )
    by_size = build_system_tables(compare({"rpe1": frame[few]}))[2]
    shown = by_size.cells.set_index(("", "System"))["rpe1", "PDS ↑"]["AdaPert's gain"].tolist()
    assert ["[" in cell for cell in shown] == [has_interval, True]
    assert "no interval below 4 perturbations" in by_size.caption


def test_the_best_is_bold_and_its_equals_are_marked(tables: list[PaperTable]) -> None:
    performance = tables[0]
    systems = performance.cells["", "System"].tolist()
    is_best = present(performance.is_best)
    assert is_best.sum(axis=0).tolist() == [0, 0, 1, 1, 1, 1]
    marked = [cell.endswith(" †") for cell in performance.cells["k562", "Pearson-delta ↑"]]
    either = {"AdaPert", "TxPert (own version)"}
    assert {systems[row] for row in np.flatnonzero(is_best[:, 2] | marked)} == either
    assert r" $\dagger$ &" in performance.to_latex()
    assert r"\multicolumn{2}{c}{k562} & \multicolumn{2}{c}{rpe1}" in performance.to_latex()
    assert "| Reads | System | k562: Pearson-delta ↑ |" in performance.to_markdown()


def test_the_gain_of_adapert_is_over_the_best_other_of_each_data_set(
    tables: list[PaperTable], frames: dict[str, pd.DataFrame]
) -> None:
    table = tables[2]
    row = table.cells[table.cells["", "System"] == "AdaPert's gain"].to_dict("records")[0]
    for data, rival in (("k562", "txpert:tuned"), ("rpe1", "kernel_ridge:tuned")):
        of_pair = [loop(frames[data], name, "pds", "small") for name in ("adapert:tuned", rival)]
        own, other = map(np.mean, of_pair)
        assert str(row[data, "PDS ↑"]).startswith(f"{100 * (own - other) / other:+.1f} % [")
    assert "(k562: TxPert (own version), rpe1: kernel ridge)" in table.caption


def test_an_empty_cell_has_its_reason_in_the_caption(tables: list[PaperTable]) -> None:
    performance, of_degs, _ = tables
    is_mean = performance.cells["", "System"] == "mean change"
    assert performance.cells.loc[is_mean, "rpe1"].to_numpy().tolist() == [["-", "-"]]
    assert "Not compared on rpe1: mean change." in performance.caption
    assert set(of_degs.cells["rpe1", "Direction match ↑"]) == {"-"}
    assert "rpe1: These data have no cells to test" in of_degs.caption
    assert "Rank overlap@50 ↑" in of_degs.cells["rpe1"]
    assert (
        "k562: data f0, study 'peers_k562', 20 validation perturbations; rpe1: data f1" in performance.caption
    )


def test_without_adapert_there_is_no_gain_and_alone_nothing_is_best(frames: dict[str, pd.DataFrame]) -> None:
    frame = frames["k562"].query("metric in ['pearson_delta', 'pds']")
    others = build_system_tables(compare({"k562": frame[frame["system"] != "adapert"]}))[2]
    assert "AdaPert's gain" not in set(others.cells["", "System"])
    assert "Gain:" not in others.caption
    alone = build_system_tables(compare({"k562": frame[frame["system"] == "mean"]}))
    assert not any(present(table.is_best).any() for table in alone)
    assert not any("†" in cell for table in alone for cell in table.cells.to_numpy().ravel())


def test_a_system_that_reads_less_on_one_data_set_stands_by_the_most_it_reads(
    frames: dict[str, pd.DataFrame],
) -> None:
    frame = frames["rpe1"].query("metric == 'pearson_delta'")
    group = frame["group"].mask(frame["system"] == "txpert", "one network")
    tables = build_system_tables(compare({"k562": frame, "rpe1": frame.assign(group=group)}))
    assert tables[0].cells["", "Reads"].tolist()[-1] == "several networks"
    assert "Reads less on rpe1: TxPert (own version) (one network)." in tables[0].caption
