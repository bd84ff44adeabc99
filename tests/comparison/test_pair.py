"""A pair of trials or configs: what differs, and the paired metrics."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fixtures.ledger import HandMade, MakeLedger
from fixtures.store import build_table
from scipy import stats

from adapert.comparison.pair import MAIN_METRIC, compare_pair, diff_configs
from adapert.config import Config, write_config
from adapert.errors import InputError
from adapert.records import LONG_COLUMNS, PER_PERTURBATION_FILE, TrialStatus
from adapert.results.ledger import write_pick
from adapert.results.study import PickRecord
from adapert.study.engine.trial_files import trial_folder
from adapert.study.plan.study import Design

BASE = Config().with_changes({"data.fingerprint": "0012"})
NAMES = [f"GENE{index}" for index in range(8)]

Values = dict[tuple[str, int], np.ndarray]
"""Pearson-delta by trial and split_seed."""


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def add_trial() -> Callable[..., np.ndarray]:
    """Let a trial finish with random values of each perturbation."""

    def add(
        made: HandMade,
        trial: str,
        seed: int = 0,
        tau: float = 1.0,
        split_seed: int = 0,
        reached: float = 0.5,
        **changes: object,
    ) -> np.ndarray:
        changed = {"model.tau": tau, **changes} if tau != 1 else changes
        made.asked(trial, "full", seed, changed)
        made.reported(trial, 1, reached, best_pds=reached, pds=reached)
        made.ended(trial)
        values = np.random.default_rng([int(trial), seed]).uniform(0.3, 0.9, len(NAMES))
        rows = [
            {"perturbation": name, "metric": metric, "value": value + shift}
            for metric, shift in (("pearson_delta", 0.0), ("pds", 0.1))
            for name, value in zip(NAMES, values, strict=True)
        ]
        table = build_table(rows, seed=seed, split_seed=split_seed, run=trial, study=made.study.name)
        table[list(LONG_COLUMNS)].to_parquet(trial_folder(made.folder, trial) / PER_PERTURBATION_FILE)
        return values

    return add


Add = Callable[..., np.ndarray]


@pytest.fixture
def tried(make_ledger: MakeLedger) -> HandMade:
    made = make_ledger(base=BASE)
    made.opened()
    return made


def test_a_pair_differs_by_its_fields_and_by_paired_metrics(
    workspace: Path, tried: HandMade, add_trial: Add
) -> None:
    first, second = add_trial(tried, "001"), add_trial(tried, "002", tau=0.5)
    compared = compare_pair(workspace, "try/001", "try/2")
    assert compared.config.to_numpy().tolist() == [["model.tau", 1.0, 0.5]]
    row = compared.metrics.set_index("metric").loc["pearson_delta"]
    assert row["first"] == pytest.approx(first.mean())
    assert row["second"] == pytest.approx(second.mean())
    assert row["difference"] == pytest.approx((second - first).mean())
    assert row["p_wilcoxon"] == pytest.approx(stats.wilcoxon(second, first).pvalue)
    assert row["wins"] == (second > first).sum()
    gains = pd.Series(second - first, NAMES).sort_values(ascending=False)
    assert compared.perturbations["perturbation"].tolist() == gains.index.tolist()
    assert compared.perturbations["difference"].to_numpy() == pytest.approx(gains.to_numpy())
    said = " ".join(compared.sentences)
    assert (
        f"Over 8 validation perturbations, the Pearson-delta of try/002 is {abs(row['difference']):.3f}"
        in said
    )
    assert f"Better predicted: {gains.index[0]} ({gains.iloc[0]:+.3f})" in said
    assert "Each was trained with one seed, and another could turn the difference." in compared.notes


def test_a_perturbation_without_a_value_is_left_out_of_means_and_differences(
    workspace: Path, tried: HandMade, add_trial: Add
) -> None:
    first, second = add_trial(tried, "001"), add_trial(tried, "002", tau=0.5)
    path = trial_folder(tried.folder, "002") / PER_PERTURBATION_FILE
    table = pd.read_parquet(path)
    table.loc[table["perturbation"] == NAMES[0], "value"] = np.nan
    table.to_parquet(path)
    row = compare_pair(workspace, "try/001", "try/002").metrics.iloc[0]
    assert row["n_perturbations"] == len(NAMES) - 1
    assert (row["first"], row["second"]) == pytest.approx((first[1:].mean(), second[1:].mean()))
    assert row["difference"] == pytest.approx(row["second"] - row["first"])


@pytest.mark.parametrize("second", ["try/002", "constant.yaml"])
def test_a_side_whose_predictions_have_no_correlation_is_compared_by_other_metrics(
    workspace: Path, tried: HandMade, add_trial: Add, tmp_path: Path, second: str
) -> None:
    add_trial(tried, "001")
    add_trial(tried, "002", tau=0.5, reached=np.nan)
    path = trial_folder(tried.folder, "002") / PER_PERTURBATION_FILE
    table = pd.read_parquet(path)
    table.loc[table["metric"] == MAIN_METRIC, "value"] = np.nan
    table.to_parquet(path)
    write_config(BASE.with_changes({"model.tau": 0.5}), tmp_path / "constant.yaml")
    given = second if second.startswith("try") else str(tmp_path / second)
    compared = compare_pair(workspace, "try/001", given)
    (said,) = compared.sentences
    assert said.startswith("One of the two has no Pearson-delta")
    assert compared.metrics["metric"].tolist() == ["pds"]
    assert compared.notes == ("Each was trained with one seed, and another could turn the difference.",)


def test_a_difference_of_rounding_is_none(workspace: Path, tried: HandMade, add_trial: Add) -> None:
    add_trial(tried, "001")
    add_trial(tried, "002", tau=0.5)
    paths = [trial_folder(tried.folder, trial) / PER_PERTURBATION_FILE for trial in ("001", "002")]
    first, second = map(pd.read_parquet, paths)
    second.assign(value=first["value"] + 1e-7).to_parquet(paths[1])
    (said,) = compare_pair(workspace, "try/001", "try/002").sentences
    assert said.endswith("have the same Pearson-delta but for rounding.")


def test_a_study_may_be_called_like_a_file(make_ledger: MakeLedger, workspace: Path, add_trial: Add) -> None:
    made = make_ledger("v1.2", base=BASE)
    made.opened()
    add_trial(made, "001")
    assert compare_pair(workspace, "v1.2", "v1.2/1").first.trials == ("v1.2/001",)


def test_the_same_split_and_seeds_are_compared_of_several(
    workspace: Path, tried: HandMade, add_trial: Add, tmp_path: Path
) -> None:
    one = [add_trial(tried, f"00{seed}", seed) for seed in (1, 2, 3)]
    other = [add_trial(tried, f"00{3 + seed}", seed, tau=0.5) for seed in (2, 3, 4)]
    add_trial(tried, "008", 1, tau=0.5, split_seed=1)
    for name, tau in (("a.yaml", 1.0), ("b.yaml", 0.5)):
        write_config(BASE.with_changes({"model.tau": tau}), tmp_path / name)
    compared = compare_pair(workspace, str(tmp_path / "a.yaml"), str(tmp_path / "b.yaml"))
    assert compared.first.trials == ("try/001", "try/002", "try/003")
    row = compared.metrics.set_index("metric").loc["pearson_delta"]
    assert row["n_seeds"] == 2
    assert row["difference"] == pytest.approx(np.mean([other[0] - one[1], other[1] - one[2]]))
    assert row["second"] == pytest.approx(np.mean(other[:2]))


@pytest.mark.parametrize(
    ("changes", "is_said"), [({}, False), ({"graph.kept_fraction": 0.5}, True)], ids=["one_fit", "noise"]
)
def test_noise_in_the_graph_makes_the_one_seed_of_kernel_ridge_one_of_several(
    workspace: Path, tried: HandMade, add_trial: Add, changes: dict[str, object], is_said: bool
) -> None:
    add_trial(tried, "001", **{"model.name": "kernel_ridge"} | changes)
    add_trial(tried, "002", tau=0.5)
    compared = compare_pair(workspace, "try/001", "try/2")
    assert any(note.startswith("Each was trained with one seed") for note in compared.notes) == is_said


def test_trials_without_a_shared_seed_are_averaged_and_that_is_said(
    workspace: Path, tried: HandMade, add_trial: Add
) -> None:
    first, second = add_trial(tried, "001", 0), add_trial(tried, "002", 1, tau=0.5)
    compared = compare_pair(workspace, "try/001", "try/002")
    assert compared.metrics["difference"][0] == pytest.approx((second - first).mean())
    assert "They share no seed, so part of the difference may be that between seeds." in compared.notes


def test_a_study_stands_for_its_pick_and_without_one_for_its_best_trial(
    workspace: Path, tried: HandMade, add_trial: Add
) -> None:
    for trial, seed, tau in (("001", 0, 0.5), ("002", 1, 0.5), ("003", 0, 1.0)):
        add_trial(tried, trial, seed, tau=tau, reached=1 - tau / 2)
    assert compare_pair(workspace, "try", "try/003").first.name == "try/001"
    write_pick(tried.folder, PickRecord("pearson_delta"))
    first = compare_pair(workspace, "try", "try/003").first
    assert (first.name, first.trials) == ("try", ("try/001", "try/002"))


def test_a_config_without_data_is_of_the_others_data(
    workspace: Path, tried: HandMade, add_trial: Add, tmp_path: Path
) -> None:
    add_trial(tried, "001")
    (tmp_path / "mine.yaml").write_text("{}")
    compared = compare_pair(workspace, str(tmp_path / "mine.yaml"), "try/001")
    assert compared.config.empty
    assert compared.sentences == (
        f"Over 8 validation perturbations, {tmp_path / 'mine.yaml'} and try/001 have the same Pearson-delta.",
    )


def test_what_does_not_compare_is_said(workspace: Path, tried: HandMade, add_trial: Add) -> None:
    add_trial(tried, "001")
    add_trial(tried, "002", tau=0.5, **{"data.fingerprint": "0013"})
    add_trial(tried, "003", tau=0.5, split_seed=1)
    tried.asked("004", "sharp", 0, {"model.tau": 0.2})
    tried.ended("004", TrialStatus.STOPPED)
    notes = {other: compare_pair(workspace, "try/001", f"try/{other}") for other in ("002", "003", "004")}
    assert {other: (len(compared.metrics), compared.notes) for other, compared in notes.items()} == {
        "002": (0, ("Their metrics do not compare: their data are 0012 and 0013.",)),
        "003": (0, ("Their metrics do not compare: they were scored on different splits.",)),
        "004": (0, ("try/004 is stopped, so it has no metrics to compare.",)),
    }


def test_fields_that_only_one_model_reads_are_listed_where_they_are_not_the_default() -> None:
    other = Config().with_changes({"model.name": "txpert", "txpert.n_layers": 2, "graph.top_k": 5})
    assert diff_configs(Config(), other).to_numpy().tolist() == [
        ["graph.top_k", 20, 5],
        ["model.name", "adapert", "txpert"],
        ["txpert.n_layers", None, 2],
    ]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("tri", "There is no study 'tri' in '.*'. Did you mean 'try'"),
        ("try/009", "Study 'try' has no trial '009'"),
        ("try", "'try' has none"),
    ],
)
def test_what_is_not_there_is_refused(
    workspace: Path, make_ledger: MakeLedger, given: str, says: str
) -> None:
    make_ledger(plan=Design(kind="ablation", variants={"full": {}}))
    with pytest.raises(InputError, match=says):
        compare_pair(workspace, given, given)
