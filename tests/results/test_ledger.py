import json

import pytest
from fixtures.ledger import MakeLedger

from adapert.commands import in_workspace
from adapert.errors import InputError
from adapert.records import TrialStatus
from adapert.results.ledger import LedgerResults, write_pick
from adapert.results.study import PickRecord
from adapert.study.engine.folders import PICK_FILE
from adapert.study.engine.ledger import held


def test_a_trial_has_the_last_value_of_every_metric_that_it_reported(make_ledger: MakeLedger) -> None:
    made = make_ledger()
    made.opened(resources={"device": "cuda", "cpus_per_trial": 2, "slots": 4})
    made.asked("001", "sharp", 1, {"model.tau": 0.5})
    made.reported("001", 1, 0.3, once=1.0)
    made.reported("001", 2, None)
    (trial,) = LedgerResults(made.folder).trials
    assert trial.metrics["once"] == 1.0
    assert trial.metrics["best_pearson_delta"] != trial.metrics["best_pearson_delta"]  # NaN
    assert (trial.config["model.tau"], trial.seed, trial.variant) == (0.5, 1, "sharp")
    assert (trial.device, trial.n_threads, trial.n_slots, trial.host) == ("cuda", 2, 4, "node")


def test_a_trial_without_an_end_is_running_only_while_a_process_has_the_study(
    make_ledger: MakeLedger,
) -> None:
    made = make_ledger()
    made.opened()
    made.asked("001")
    assert LedgerResults(made.folder).trials[0].status == TrialStatus.INTERRUPTED
    assert LedgerResults(made.folder).status == TrialStatus.INTERRUPTED
    named = in_workspace(made.folder.parents[1], made.folder.name)
    assert LedgerResults(made.folder).how_to_finish == f"Continue it: adapert resume {named}"
    with held(made.folder):
        running = LedgerResults(made.folder)
        assert running.trials[0].status == TrialStatus.RUNNING
        assert running.status == TrialStatus.RUNNING


def test_how_a_config_was_picked_is_read_as_it_was_written(make_ledger: MakeLedger) -> None:
    made = make_ledger()
    assert LedgerResults(made.folder).picked is None
    picked = PickRecord("pds", "try_reevaluation_2")
    write_pick(made.folder, picked)
    assert LedgerResults(made.folder).picked == picked


@pytest.mark.parametrize(
    "text", ["", "[]", json.dumps({"format": 0, "objective": "pds", "reevaluation": ""})]
)
def test_a_pick_that_says_something_else_is_refused(make_ledger: MakeLedger, text: str) -> None:
    made = make_ledger()
    (made.folder / PICK_FILE).write_text(text)
    with pytest.raises(
        InputError, match=r"pick\.json' must say how a config was picked.* Run 'adapert pick' again"
    ):
        LedgerResults(made.folder).picked  # noqa: B018
