"""`adapert pick`: what it prints and writes, and what a user can get wrong."""

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pandas as pd
import pytest
from fixtures.command import Refused, RunCommand, documented_keys
from fixtures.copied import copy_store
from fixtures.store import Store
from rich.console import Console

from adapert.cli import printing
from adapert.cli.printing import build_candidate_rows
from adapert.config import Config, read_config
from adapert.records import TrialStatus
from adapert.selection import reevaluate as reevaluation
from adapert.selection.rank import Pick
from adapert.selection.reevaluate import ReevaluationPlan, UnfinishedError
from adapert.study.engine.runner import Closing
from adapert.tracking import runs


def test_pick_at_once_says_that_nothing_was_retrained(
    adapert: RunCommand, store: Store, tmp_path: Path
) -> None:
    where = ("--out", "a/b/best.yaml", "--workspace", store.directory)
    ended = adapert("pick", "search_wide", *where, "--no-reevaluation")
    assert ended.status == 0
    assert "it was not retrained" in ended.out
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["best.yaml"]


def test_pick_as_json_is_all_that_stdout_has(adapert: RunCommand, store: Store, tmp_path: Path) -> None:
    where = ("--out", "best.yaml", "--workspace", store.directory)
    ended = adapert("pick", "search_wide", *where, "--no-reevaluation", "--json")
    assert ended.status == 0
    said = json.loads(ended.out)
    assert list(said) == documented_keys("`pick`")
    assert said["config"] == read_config(tmp_path / "best.yaml").settings()
    assert said["candidates"][0]["pearson_delta"] == 0.4
    assert (said["rank"], said["lead"], said["reevaluated"], said["out"]) == (1, None, [], "best.yaml")


def test_pick_without_a_place_keeps_the_config_in_the_workspace(
    adapert: RunCommand, store: Store, tmp_path: Path
) -> None:
    copy_store(store, tmp_path / "runs")
    ended = adapert("pick", "search_wide", "--no-reevaluation")
    assert ended.status == 0
    assert "Wrote runs/search_wide_best.yaml. Next: adapert launch ablation --config runs/" in ended.out
    assert read_config(tmp_path / "runs" / "search_wide_best.yaml").loss.lambda_non == 3e-4


def test_a_dry_run_counts_the_trainings_and_writes_nothing(
    adapert: RunCommand, store: Store, tmp_path: Path
) -> None:
    words = ("pick", "search_wide", "--workspace", store.directory, "--dry-run")
    ended = adapert(*words, "--fresh-seeds", 2, "--redraws", 3)
    assert ended.status == 0
    assert ended.out.endswith(
        "Picking would take 5 trainings: rank 1 to 1, each on 2 fresh seeds and 3 redrawn splits.\n"
    )
    said = json.loads(adapert(*words, "--json").out)
    assert list(said) == [*documented_keys("`pick`"), "n_trainings"]
    assert (said["n_trainings"], said["out"]) == (5, None)
    at_once = adapert(*words, "--no-reevaluation")
    assert at_once.out.endswith("Picking would train nothing.\n")
    assert list(tmp_path.iterdir()) == []


def test_pick_refuses_a_directory_in_place_of_its_file(
    refused: Refused, store: Store, tmp_path: Path
) -> None:
    (tmp_path / "best").mkdir()
    message = refused("pick", "search_wide", "--out", "best", "--workspace", store.directory)
    assert "--out must be a file, but 'best' is a directory. Name a file: 'best/best.yaml'." in message


def test_pick_refuses_a_file_below_a_file_before_anything_is_trained(
    refused: Refused, store: Store, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    message = refused("pick", "search_wide", "--out", "file/best.yaml", "--workspace", store.directory)
    assert "is not a directory that can be written to" in message


def test_pick_refuses_options_of_a_retraining_that_it_is_not_to_make(refused: Refused, store: Store) -> None:
    words = ("pick", "search_wide", "--workspace", store.directory, "--no-reevaluation")
    message = refused(*words, "--top", 5, "--fresh-seeds", 3, "--max-concurrent", 2)
    assert "--no-reevaluation retrains nothing, but --top and --max-concurrent came with it." in message


def test_pick_refuses_an_objective_that_is_none(refused: Refused, store: Store) -> None:
    where = ("--out", "best.yaml", "--workspace", store.directory)
    message = refused("pick", "search_wide", *where, "--objective", "peto")
    assert "--objective must be one of pearson_delta, pds" in message


def test_pick_refuses_a_study_whose_data_are_gone(refused: Refused, store: Store) -> None:
    message = refused("pick", "search_wide", "--out", "best.yaml", "--workspace", store.directory)
    assert "Or pick without re-evaluation by --no-reevaluation" in message


CONFIGS = tuple(Config().with_changes({"model.tau": tau}) for tau in (0.5, 0.7))


def picked_of() -> Pick:
    candidates = pd.DataFrame(
        {
            "config_digest": [config.digest() for config in CONFIGS],
            "pearson_delta": [0.7, 0.6],
            "pds": [0.8, 0.9],
            "n_seeds": [1, 1],
            "model.tau": [0.5, 0.7],
            "low": [0.65, float("nan")],
            "high": [0.75, float("nan")],
        }
    )
    again = pd.DataFrame(
        {
            "rank": [2],
            "fresh": [0.59],
            "fresh_sd": [0.01],
            "redrawn": [0.55],
            "redrawn_sd": [float("nan")],
            "drop": [0.01],
            "pearson_delta": [0.57],
            "pds": [0.88],
        }
    )
    return Pick(
        config=CONFIGS[1],
        candidates=candidates,
        n_left_out=3,
        configs=CONFIGS,
        reevaluated=again,
        reason="Because.",
        notes=("Mind this.",),
    )


def test_the_rows_are_told_side_by_side_and_the_pick_is_marked() -> None:
    assert build_candidate_rows(picked_of()) == {
        "pearson_delta": ["0.7", "0.6"],
        "95 % interval": ["0.650-0.750", ""],
        "pds": ["0.8", "0.9"],
        "on fresh seeds": ["", "0.590±0.010"],
        "on redrawn splits": ["", "0.55"],
        "drop, fresh seeds": ["", "0.010"],
        "mean of splits": ["", "0.57"],
        "pds of splits": ["", "0.88"],
        "picked": ["", "*"],
        "model.tau": ["0.5", "0.7"],
    }


def test_no_value_is_cut_short_where_the_terminal_is_narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.StringIO()
    monkeypatch.setattr(printing, "console", Console(file=file, width=80))
    pick = picked_of()
    seven = pd.concat([pick.candidates.iloc[:1]] * 7).assign(**{"training.learning_rate": 0.0001234})
    printing.print_candidates(replace(pick, candidates=seven, reevaluated=None), n_shown=7)
    text = file.getvalue()
    assert "…" not in text
    assert text.count("0.000123") == 7


def test_the_rows_of_a_pick_at_once_are_those_of_its_study() -> None:
    rows = build_candidate_rows(replace(picked_of(), reevaluated=None))
    assert list(rows) == ["pearson_delta", "95 % interval", "pds", "model.tau"]


def test_pick_hands_its_options_on_and_writes_the_config(
    adapert: RunCommand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[object] = []

    def pick_config(*words: object) -> Pick:
        given.extend(words)
        return picked_of()

    monkeypatch.setattr(reevaluation, "pick_config", pick_config)
    monkeypatch.setattr(runs, "keep_pick", lambda *_: None)  # there is no store
    options = ("--top", 2, "--fresh-seeds", 4, "--redraws", 0, "--max-concurrent", 1, "--device", "cpu")
    ended = adapert("pick", "s", "--out", "best.yaml", "--objective", "pds", *options)
    assert ended.status == 0
    assert given[1:4] == ["s", "pds", ReevaluationPlan(top=2, n_fresh_seeds=4, n_redraws=0)]
    used = {"cpus_per_trial": None, "gpus_per_trial": None, "max_concurrent": 1, "device": "cpu"}
    used |= {"executor": None, "slots": None}
    assert given[4] == used
    for told in ("3 trials without a final Pearson-delta", "Mind this.", "Because.", "Wrote best.yaml"):
        assert told in ended.out
    assert read_config(tmp_path / "best.yaml") == CONFIGS[1]


@pytest.mark.parametrize(
    ("left", "status"),
    [
        (Closing(TrialStatus.INTERRUPTED), 130),
        (Closing(TrialStatus.FAILED), 1),
        (Closing(TrialStatus.FAILED, is_ray_lost=True), 75),
        (Closing(TrialStatus.STOPPED), 1),
    ],
)
def test_a_pick_that_was_left_writes_nothing(
    adapert: RunCommand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: Closing, status: int
) -> None:
    def pick_config(*_: object) -> NoReturn:
        raise UnfinishedError("It was left.", left)

    monkeypatch.setattr(reevaluation, "pick_config", pick_config)
    ended = adapert("pick", "s", "--out", "best.yaml")
    assert (ended.status, ended.err) == (status, "Error: It was left.\n")
    assert list(tmp_path.iterdir()) == []
