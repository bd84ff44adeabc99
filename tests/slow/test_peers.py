"""Systems searched, picked and compared by the installed command: killed in between, and typed again."""

import shutil
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from fixtures.killed import break_off, has_lines, run
from fixtures.launched import LOCAL

from adapert.comparison.test_access import read_accesses
from adapert.config import Config, read_config
from adapert.data.manifest import MANIFEST_FILE, read_manifest
from adapert.records import TrialStatus
from adapert.results.find import open_study
from adapert.study.engine.events import TrialAsked, TrialEnded
from adapert.study.engine.folders import study_names
from adapert.study.engine.ledger import LEDGER_FILE, read_events
from adapert.study.plan.peers import searched_spaces

pytestmark = pytest.mark.slow

MODELS = "adapert,kernel_ridge,ridge_both,mean"
STUDIES = [
    "peers",
    "peers_adapert",
    "peers_adapert_reevaluation",
    "peers_kernel_ridge",
    "peers_kernel_ridge_reevaluation",
]


def test_systems_are_searched_picked_and_compared_once_however_often_it_is_killed(
    launchable: Path, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    budget = ["--trials", "3", "--seeds", "2", "--splits", "2", "--max-epochs", "2", "--min-epochs", "1"]
    where = ["--data", str(launchable), "--workspace", str(runs), "--device", "cpu"]
    words = ["launch", "peers", "--models", MODELS, *budget, *where, *LOCAL]
    ledgers = {study: runs / "studies" / study / LEDGER_FILE for study in STUDIES}
    moments = {
        study: has_lines(ledgers[study], "ended", 1)
        for study in ("peers_adapert", "peers_kernel_ridge_reevaluation", "peers")
    }

    def check(moment: str) -> None:
        # Later studies have not begun, and earlier ones are not run again.
        assert set(study_names(runs)) <= set(STUDIES)
        assert (moment == "peers") == ledgers["peers"].is_file()

    break_off(words, moments, check, tmp_path / "log")
    assert study_names(runs) == STUDIES
    for study in STUDIES:
        events = read_events(runs / "studies" / study / LEDGER_FILE)
        asked = Counter(event.trial for event in events if isinstance(event, TrialAsked))
        ended = Counter(event.trial for event in events if isinstance(event, TrialEnded))
        assert set(asked.values()) == {1}, study
        assert ended == asked, study
    results = open_study(runs, "peers")
    assert results.count(TrialStatus.FINISHED) == len(results.trials) == 2 * 2 * 2 + 2 * 2 + 2 * 2
    for model in ("adapert", "kernel_ridge"):
        search = open_study(runs, f"peers_{model}")
        assert len(search.trials) == 3
        # What was published comes first.
        published = Config().flat()
        first = search.trials[0].config
        assert all(first[field] == published[field] for field in searched_spaces(Config())[model])
        picked = read_config(runs / f"{model}.yaml").digest()
        tuned = {trial.config_digest for trial in results.trials if trial.variant == f"{model}:tuned"}
        assert tuned == {picked}
    seeds = {trial.seed for trial in results.trials}
    used = {trial.seed for study in STUDIES if study != "peers" for trial in open_study(runs, study).trials}
    assert not seeds & used

    run(["figures", "peers", "--workspace", str(runs)])
    table = pd.read_csv(runs / "figures" / "table_leaderboard.csv")
    assert set(table["system"]) == set(MODELS.split(","))
    assert (table.loc[table["system"] == "adapert", "n_trials"] == 3).all()
    assert (runs / "figures" / "leaderboard.png").is_file()
    curves = pd.read_csv(runs / "figures" / "expected_best.csv")
    assert curves.groupby("system")["n_trials"].max().to_dict() == {"adapert": 3, "kernel_ridge": 3}

    files = [str(runs / f"{model}.yaml") for model in ("adapert", "kernel_ridge")]
    run(["evaluate", *files, "--models", MODELS, "--seeds", "1", "--workspace", str(runs)])
    (access,) = read_accesses(runs)
    assert access.studies == ["peers_adapert", "peers_kernel_ridge"]


def test_several_data_sets_are_compared_as_one_command_however_often_it_is_killed(
    launchable: Path, tmp_path: Path
) -> None:
    runs, other = tmp_path / "runs", tmp_path / "other"
    shutil.copytree(launchable, other)
    own = read_manifest(other).fingerprint
    manifest = (other / MANIFEST_FILE).read_text("utf-8")
    (other / MANIFEST_FILE).write_text(manifest.replace(own, "f" * len(own)), "utf-8")
    where = ["--data", f"k562={launchable}", "--data", str(other), "--workspace", str(runs)]
    words = ["launch", "peers", "--models", "kernel_ridge,mean", "--trials", "2", "--splits", "2"]
    words += [*where, "--device", "cpu", *LOCAL]
    ledgers = {data: runs / "studies" / f"peers_{data}" / LEDGER_FILE for data in ("k562", "other")}
    moments = {data: has_lines(ledger, "ended", 1) for data, ledger in ledgers.items()}

    def check(moment: str) -> None:
        assert ledgers["other"].is_file() == (moment == "other")

    break_off(words, moments, check, tmp_path / "log")
    for name in study_names(runs):
        events = read_events(runs / "studies" / name / LEDGER_FILE)
        assert set(Counter(event.trial for event in events if isinstance(event, TrialEnded)).values()) == {1}
    assert {f"peers_{data}_kernel_ridge" for data in ledgers} < set(study_names(runs))
    assert {path.name for path in runs.glob("*.yaml")} == {
        "k562_kernel_ridge.yaml",
        "other_kernel_ridge.yaml",
    }

    run(["figures", "peers_k562", "peers_other", "--workspace", str(runs)])
    table = pd.read_csv(runs / "figures" / "table_1_systems.csv")
    assert table.groupby("data")["data_fingerprint"].unique().map(list).to_dict() == {
        "k562": [own],
        "other": ["f" * len(own)],
    }
    assert set(table["system"]) == {"kernel_ridge", "mean"}
    # The same numbers: only the name and the fingerprint of the data differ.
    wide = table.pivot(index=["system", "metric"], columns="data", values="mean")
    pd.testing.assert_series_equal(wide["k562"], wide["other"], check_names=False)
