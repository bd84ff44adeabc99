"""What stays of a trial in its folder."""

from pathlib import Path

from fixtures.simulated_study import MAX_EPOCHS, begin, hand_out, learn

from adapert.config import read_config
from adapert.records import CONFIG_FILE, WEIGHTS_FILE, TrialStatus
from adapert.study.engine.runner import StudyRunner
from adapert.testing import open_study


def begun(folder: Path, plan: str) -> StudyRunner:
    begin(folder, plan)
    return open_study(folder)


def leave_checkpoint(runner: StudyRunner, trial: str) -> Path:
    folder = runner.folder / "trials" / trial
    (folder / "checkpoint_000001").mkdir(parents=True)
    (folder / "checkpoint_000001" / "model.safetensors").write_text("model")
    (folder / ".weights.0123.safetensors").write_text("torn")
    (folder / WEIGHTS_FILE).write_text("weights")
    return folder


def test_a_trial_has_its_config_in_its_folder_before_it_runs(study_folder: Path) -> None:
    runner = begun(study_folder, "design")
    records = [hand_out(runner) for _ in range(6)]
    for record in records:
        kept = read_config(runner.folder / "trials" / record.trial_id / CONFIG_FILE)
        assert kept == runner.study.base.with_changes(record.changes)


def test_an_ended_trial_keeps_config_and_results_and_no_checkpoint(study_folder: Path) -> None:
    runner = begun(study_folder, "design")
    first, second = hand_out(runner), hand_out(runner)
    folders = [leave_checkpoint(runner, record.trial_id) for record in (first, second)]
    runner.reported(first.trial_id, learn(first, MAX_EPOCHS))
    assert {path.name for path in folders[0].iterdir()} == {CONFIG_FILE, WEIGHTS_FILE}
    assert (folders[1] / "checkpoint_000001").is_dir()


def test_what_a_killed_process_had_not_cleared_is_cleared_by_the_next(study_folder: Path) -> None:
    runner = begun(study_folder, "design")
    first = hand_out(runner)
    runner.reported(first.trial_id, learn(first, MAX_EPOCHS))
    folder = leave_checkpoint(runner, first.trial_id)
    runner.ledger.close()
    open_study(study_folder)
    assert {path.name for path in folder.iterdir()} == {CONFIG_FILE, WEIGHTS_FILE}


def test_a_config_that_the_disk_does_not_take_closes_the_study_before_the_trial_exists(
    study_folder: Path,
) -> None:
    runner = begun(study_folder, "design")
    (runner.folder / "trials").write_text("no folder")
    assert runner.next_trial() is None
    assert runner.state.records == {}
    assert runner.close().status == TrialStatus.FAILED
