"""Systems searched, picked and compared by the installed command: killed in between, and typed again."""

from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from fixtures.killed import break_off, has_lines, run
from fixtures.launched import LOCAL

from adapert.comparison.test_access import read_accesses
from adapert.config import Config, read_config
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
