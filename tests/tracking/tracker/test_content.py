import json
import math
from pathlib import Path

import pytest
from fixtures.delivered import BASE, deliver, everything_in, runs_of, ways_to_end
from fixtures.ledger import BEGIN, HandMade

from adapert.config import read_config
from adapert.records import (
    CODE_DIFF_FILE,
    CONFIG_FILE,
    ERROR_FILE,
    OBJECTIVE,
    ORIGIN_FILE,
    PER_PERTURBATION_FILE,
    WEIGHTS_FILE,
    EndReason,
    Tag,
    TrialStatus,
)
from adapert.tracking.runs import BEST_CONFIG_FILE
from adapert.tracking.store import open_store


def test_trials_are_children_of_their_study_with_tags_that_find_them(made: HandMade, workspace: Path) -> None:
    deliver(ways_to_end(made), workspace)
    runs = runs_of(workspace)
    parent, child = runs[""], runs["002"]
    assert sorted(runs) == ["", "001", "002", "003", "004"]
    assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
    expected = {
        Tag.KIND: "trial",
        Tag.STUDY: "try",
        Tag.TRIAL: "002",
        Tag.VARIANT: "sharp",
        Tag.SEED: "0",
        Tag.CONFIG_DIGEST: BASE.with_changes({"model.tau": 0.5}).digest(),
        Tag.DATA_FINGERPRINT: "0012",
        Tag.GIT_COMMIT: "abc",
        Tag.VERSIONS: "torch 2.0",
    }
    assert {name: child.data.tags[name] for name in expected} == expected
    assert (parent.data.tags[Tag.KIND], parent.data.tags[Tag.DESIGN]) == ("study", "ablation")
    assert child.info.run_name == "sharp seed 0"


def test_params_are_what_the_model_reads(made: HandMade, workspace: Path) -> None:
    deliver(ways_to_end(made), workspace)
    params = runs_of(workspace)["002"].data.params
    assert params == {
        name: str(value) for name, value in BASE.with_changes({"model.tau": 0.5}).settings().items()
    }


def test_metrics_have_the_step_and_the_time_of_their_line(made: HandMade, workspace: Path) -> None:
    made.opened()
    made.asked("001")
    at = [made.reported("001", epoch, 0.1 * epoch).time for epoch in (1, 2, 3)]
    deliver(made, workspace)
    history = everything_in(workspace)["001"]["history"][OBJECTIVE]
    assert [(step, time) for step, time, _ in history] == [
        (epoch + 1, round(second * 1000)) for epoch, second in enumerate(at)
    ]
    assert [value for *_, value in history] == pytest.approx([0.1, 0.2, 0.3])


def test_an_undefined_metric_stays_undefined(made: HandMade, workspace: Path) -> None:
    made.opened()
    made.asked("001")
    made.reported("001", 1, 0.5, pds=None)
    assert deliver(made, workspace).refused == []
    assert math.isnan(runs_of(workspace)["001"].data.metrics["pds"])


def test_results_become_artifacts_and_stay_in_the_workspace(
    made: HandMade, workspace: Path, tmp_path: Path
) -> None:
    deliver(ways_to_end(made), workspace)
    found = everything_in(workspace)
    assert found["001"]["files"] == sorted([CONFIG_FILE, PER_PERTURBATION_FILE, WEIGHTS_FILE])
    assert found["003"]["files"] == sorted([CONFIG_FILE, ERROR_FILE])
    assert found[""]["files"] == [BEST_CONFIG_FILE, ORIGIN_FILE]
    kept = {path.name for path in (made.folder / "trials" / "001").iterdir()}
    assert kept == {CONFIG_FILE, PER_PERTURBATION_FILE, WEIGHTS_FILE}
    client, _ = open_store(workspace)
    path = client.download_artifacts(found["002"]["run"], CONFIG_FILE, str(tmp_path))
    assert read_config(tmp_path / CONFIG_FILE) == BASE.with_changes({"model.tau": 0.5}), path


def test_a_study_keeps_its_code_s_diff_and_fingerprints(
    made: HandMade, workspace: Path, tmp_path: Path
) -> None:
    (made.folder / CODE_DIFF_FILE).write_text("+# changed ü\n")
    made.opened()
    deliver(made, workspace)
    client, _ = open_store(workspace)
    run = runs_of(workspace)[""].info.run_id
    read = {
        name: Path(client.download_artifacts(run, name)).read_text() for name in (CODE_DIFF_FILE, ORIGIN_FILE)
    }
    assert read[CODE_DIFF_FILE] == "+# changed ü\n"
    assert json.loads(read[ORIGIN_FILE]) == made.state.definition.origin


def test_a_trial_says_on_what_it_ran(made: HandMade, workspace: Path) -> None:
    made.opened(resources={"cpus_per_trial": 2, "device": "cuda", "slots": 4})
    made.asked("001")
    made.reported("001", 1, 0.1)
    made.ended("001")
    deliver(made, workspace)
    tags = runs_of(workspace)["001"].data.tags
    named = (Tag.DEVICE, Tag.N_THREADS, Tag.N_SLOTS, Tag.HOST)
    assert [tags[tag] for tag in named] == ["cuda", "2", "4", "node"]


def test_the_folder_of_a_trial_that_goes_on_stays(made: HandMade, workspace: Path) -> None:
    made.opened()
    made.asked("001")
    checkpoint = made.folder / "trials" / "001" / "checkpoint_000010"
    checkpoint.mkdir(parents=True)
    made.closed(TrialStatus.INTERRUPTED)
    deliver(made, workspace)
    assert checkpoint.is_dir()


def test_an_end_is_mlflow_s_status_and_the_study_s_own_tags(made: HandMade, workspace: Path) -> None:
    deliver(ways_to_end(made), workspace)
    ends = {
        trial: (run.info.status, *(run.data.tags.get(tag) for tag in (Tag.STATUS, Tag.REASON, Tag.MESSAGE)))
        for trial, run in runs_of(workspace).items()
    }
    assert ends == {
        "": ("FINISHED", "finished", None, ""),
        "001": ("FINISHED", "finished", "epochs", ""),
        "002": ("FINISHED", "stopped", "rung", "It was below 0.9 at epoch 1."),
        "003": ("FAILED", "failed", "error", "ValueError: no"),
        "004": ("FINISHED", "finished", "epochs", ""),
    }


def test_runs_begin_and_end_when_their_lines_say(made: HandMade, workspace: Path) -> None:
    made.opened()
    made.asked("001")
    end = made.ended("001").time
    deliver(made, workspace)
    run = runs_of(workspace)["001"]
    assert (run.info.start_time, run.info.end_time) == ((BEGIN + 2) * 1000, end * 1000)


def test_trials_of_an_interrupted_study_are_interrupted_and_run_again_when_it_is_resumed(
    made: HandMade, workspace: Path
) -> None:
    def ends() -> dict[str, tuple[str, str]]:
        runs = runs_of(workspace)
        return {trial: (run.info.status, run.data.tags[Tag.STATUS]) for trial, run in runs.items()}

    made.opened()
    made.asked("001")
    made.closed(TrialStatus.INTERRUPTED, "It was interrupted.")
    deliver(made, workspace)
    assert ends() == {"": ("KILLED", "interrupted"), "001": ("KILLED", "interrupted")}
    made.opened()
    deliver(made, workspace)
    assert ends() == {"": ("RUNNING", "running"), "001": ("RUNNING", "running")}
    made.ended("001")
    made.closed()
    deliver(made, workspace)
    assert ends() == {"": ("FINISHED", "finished"), "001": ("FINISHED", "finished")}
    assert runs_of(workspace)[""].data.tags[Tag.MESSAGE] == ""


def test_a_study_that_was_interrupted_before_its_first_trial_runs_again_too(
    made: HandMade, workspace: Path
) -> None:
    made.opened()
    made.closed(TrialStatus.INTERRUPTED)
    made.opened()
    deliver(made, workspace)
    assert runs_of(workspace)[""].info.status == "RUNNING"


def test_the_study_s_own_run_sums_up(made: HandMade, workspace: Path) -> None:
    deliver(ways_to_end(made), workspace)
    parent = runs_of(workspace)[""]
    assert parent.data.tags["best_trial"] == "001"
    assert parent.data.metrics[OBJECTIVE] == 0.3
    assert (parent.data.metrics["n_finished"], parent.data.metrics["n_failed"]) == (2, 1)
    assert parent.data.tags["mlflow.note.content"].startswith("Which one?\n")


def test_a_message_longer_than_mlflow_takes_is_cut(made: HandMade, workspace: Path) -> None:
    made.opened()
    made.asked("001")
    made.ended("001", TrialStatus.FAILED, EndReason.ERROR, "x" * 20_000)
    made.closed(TrialStatus.FAILED)
    assert deliver(made, workspace).refused == []
    assert runs_of(workspace)["001"].data.tags[Tag.MESSAGE].startswith("xxx")
