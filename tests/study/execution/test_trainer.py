import errno
import shutil
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pandas as pd
import pytest
import torch
from fixtures.configs import SMALL_ADAPERT
from fixtures.dataset import build_tiny_dataset, write_prepared
from fixtures.exhaustive import few_fast
from fixtures.narrowed import of_kind, present
from safetensors.torch import load_file
from torch import OutOfMemoryError

from adapert.config import Config, build_config
from adapert.data.array_tables import PerturbationTable
from adapert.data.prepared import read_prepared
from adapert.data.regroup import redraw
from adapert.data.shipping import ShippedFolder
from adapert.evaluation.evaluate import evaluate
from adapert.evaluation.metrics import pearson_delta
from adapert.models.reference import REFERENCE_MODELS
from adapert.records import (
    DISK,
    ERROR_FILE,
    FAILURE,
    HOST,
    IS_OVER,
    LONG_COLUMNS,
    MESSAGE,
    OBJECTIVE,
    PER_PERTURBATION_FILE,
    SYSTEM,
    WEIGHTS_FILE,
    EndReason,
)
from adapert.seeding import numpy_generator
from adapert.study.execution.memory import NoMemoryError
from adapert.study.execution.trainer import TrialSettings, TrialTrainer
from adapert.training.fit import FittedNetwork
from adapert.training.kept import kept_checkpoints
from adapert.training.loop import train
from adapert.training.state import Training

MakeSettings = Callable[..., TrialSettings]
RunOnce = Callable[[str], "Run"]

SMALL = SMALL_ADAPERT | {
    "training.minibatch_size": 3,
    "training.max_epochs": 4,
}
LONG = {"training.max_epochs": 6, "model.dropout": 0.3, "training.minibatch_size": 4}
EVERY_SECOND = "adapert.study.execution.trainer.CHECKPOINT_EVERY", 2
RUNS: dict[str, dict[str, Any]] = {
    "plain": {},
    "long": LONG,
    "long, of means": LONG | {"training.minibatch_size": 8},
    "long, of cells": LONG | {"data.control": "cell", "training.minibatch_size": 32},
}


@pytest.fixture
def settings(tmp_path: Path, prepared: Path) -> MakeSettings:
    """What a study hands to a trial."""
    return settings_in(tmp_path, prepared)


def settings_in(directory: Path, prepared: Path) -> MakeSettings:
    def make(
        changes: dict[str, Any] | None = None, seed: int = 0, path: Path = prepared, trial: str = "001"
    ) -> TrialSettings:
        config = Config().with_changes(SMALL | {"data.path": str(path)} | (changes or {}))
        return TrialSettings(
            trial_id=trial,
            study="try",
            variant="full",
            seed=seed,
            config=config.flat(),
            folder=str(directory / "trials" / trial),
        )

    return make


@dataclass(frozen=True)
class Run:
    """A trial that ran to its end: its reports, and its folder after each of them."""

    reports: list[dict[str, float]]
    folders: list[Path]


@pytest.fixture(scope="module")
def run_once(tmp_path_factory: pytest.TempPathFactory) -> RunOnce:
    """Run one of `RUNS` for all tests, with a checkpoint every second epoch."""
    directory = tmp_path_factory.mktemp("runs")
    write_prepared(build_tiny_dataset(), directory / "prepared")

    @cache
    def run(name: str) -> Run:
        made = settings_in(directory / name, directory / "prepared")(RUNS[name])
        reports: list[dict[str, float]] = []
        folders = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(*EVERY_SECOND)
            trainer = begin(made)
            while not reports or not reports[-1][IS_OVER]:
                reports.append(values_of(trainer.step()))
                folders.append(directory / name / f"after {len(reports)}")
                copy_trial(Path(made.folder), folders[-1])
        return Run(reports, folders)

    return run


def copy_trial(source: Path, target: Path) -> None:
    """Copy a trial's folder, if it has one yet."""
    if source.exists():
        shutil.copytree(source, target)


def begin(made: TrialSettings, shipped: ShippedFolder | None = None) -> TrialTrainer:
    trainer = TrialTrainer(shipped)
    trainer.take(made)
    return trainer


def config_of(made: TrialSettings) -> Config:
    return build_config(made.config)


def reports_of(trainer: TrialTrainer, n_epochs: int = 4) -> list[dict[str, float]]:
    return [values_of(trainer.step()) for _ in range(n_epochs)]


def values_of(report: dict[str, float]) -> dict[str, float]:
    kept = ("epoch", IS_OVER, "learning_rate", "n_selected", "context_effective_rank")
    return {
        name: value
        for name, value in report.items()
        if name in kept or name.startswith(("loss_", "best_", "pearson", "pds", "rank_", "mse"))
    }


def test_reports_are_those_of_the_training_loop(settings: MakeSettings, prepared: Path) -> None:
    trainer = begin(settings(seed=2))
    config = config_of(settings())
    training = Training(config, read_prepared(prepared), 2, torch.device("cpu"))
    for report in train(training):
        expected = {name: value for name, value in report.flat().items() if name != "seconds"}
        reported = trainer.step()
        assert {name: reported[name] for name in expected} == expected


def test_a_reused_trainer_equals_a_fresh_one_bit_for_bit(settings: MakeSettings) -> None:
    reused = begin(settings({"model.hidden_size": 8}, seed=5))
    reports_of(reused, 2)  # left in the middle, as a stopped trial is
    reused.take(settings({"model.dropout": 0.3}, seed=1, trial="002"))
    fresh = begin(settings({"model.dropout": 0.3}, seed=1, trial="003"))
    assert reports_of(reused) == reports_of(fresh)
    weights = of_kind(FittedNetwork, reused._model).training.network.state_dict()
    for name, value in of_kind(FittedNetwork, fresh._model).training.network.state_dict().items():
        assert torch.equal(weights[name], value)


def test_a_reused_trainer_reads_another_data_set_where_the_config_names_one(
    settings: MakeSettings, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    write_prepared(build_tiny_dataset(seed=1), other)
    reused = begin(settings())
    reused.take(settings(path=other))
    assert reports_of(reused) == reports_of(begin(settings(path=other)))


REDRAWN = {"data.split_seed": 2}


def test_a_redrawn_trial_is_trained_and_judged_on_the_redrawn_splits(
    settings: MakeSettings, prepared: Path, tmp_path: Path
) -> None:
    trainer = begin(settings(REDRAWN, seed=1))
    reported = reports_of(trainer)
    dataset = redraw(read_prepared(prepared), 2)
    training = Training(config_of(settings(REDRAWN)), dataset, 1, torch.device("cpu"))
    expected = [report.flat()["pearson_delta"] for report in train(training)]
    assert [report["pearson_delta"] for report in reported] == expected
    long = pd.read_parquet(tmp_path / "trials" / "001" / PER_PERTURBATION_FILE)
    assert set(long["perturbation"]) == set(dataset.splits["validation"].table.perturbations)
    assert set(long["split_seed"]) == {-2}


@pytest.mark.parametrize("changes", [({}, REDRAWN), (REDRAWN, {}), (REDRAWN, {"data.split_seed": 1})])
@pytest.mark.parametrize("control", ["mean", "cell"])
def test_a_reused_trainer_forgets_the_split_of_the_trial_before(
    settings: MakeSettings, changes: tuple[dict[str, int], dict[str, int]], control: str
) -> None:
    given = {"data.control": control, "training.minibatch_size": 16}
    before, after = (given | change for change in changes)
    reused = begin(settings(before))
    reports_of(reused, 1)
    reused.take(settings(after, trial="002"))
    fresh = begin(settings(after, trial="003"))
    assert reports_of(reused, 2) == reports_of(fresh, 2)


def finished(settings: MakeSettings, tmp_path: Path, **options: Any) -> tuple[dict[str, float], Path]:
    reports = reports_of(begin(settings(**options)))
    return reports[-1], tmp_path / "trials" / "001"


def test_nothing_is_left_before_the_trial_is_over(settings: MakeSettings, tmp_path: Path) -> None:
    reports_of(begin(settings()), 3)
    assert not (tmp_path / "trials").exists()


def test_the_long_table_has_a_row_a_validation_perturbation_and_metric(
    settings: MakeSettings, tmp_path: Path, prepared: Path
) -> None:
    _, folder = finished(settings, tmp_path, seed=2)
    long = pd.read_parquet(folder / PER_PERTURBATION_FILE)
    table = read_prepared(prepared).splits["validation"].table
    assert tuple(long.columns) == LONG_COLUMNS
    assert set(long["metric"]) >= {"pearson_delta", "pds", "rank_overlap_at_50", "mse", "overlap_at_50"}
    assert (long.groupby("metric").size() == len(table.perturbations)).all()
    one = long[long["metric"] == "pds"]
    assert one["perturbation"].tolist() == table.perturbations.tolist()
    assert one["n_cells"].tolist() == table.n_cells.tolist()
    assert one["n_degs"].tolist() == table.n_degs.tolist()
    assert one["effect_size"].tolist() == table.effect_size.tolist()
    identity = one[["study", "variant", "config_digest", "seed", "split_seed", "split"]].drop_duplicates()
    digest = config_of(settings()).digest()
    assert identity.to_numpy().tolist() == [["try", "full", digest, 2, 0, "validation"]]


OVERSHOOT = {"training.learning_rate": 0.3}
"""The best epoch is not the last."""


def test_the_long_table_s_values_are_the_best_epoch_s(
    settings: MakeSettings, tmp_path: Path, prepared: Path
) -> None:
    report, folder = finished(settings, tmp_path, changes=OVERSHOOT)
    assert report["best_epoch"] < report["epoch"]
    long = pd.read_parquet(folder / PER_PERTURBATION_FILE)
    training, table = reloaded(settings, folder, prepared)
    predicted = training.predict(list(table.perturbations))
    generator = numpy_generator(0, "emission")
    direct = evaluate(predicted, training.dataset, "validation", generator=generator).per_perturbation
    for metric, values in direct.items():
        np.testing.assert_array_equal(long.loc[long["metric"] == metric, "value"], values)


def test_means_of_the_last_evaluation_are_reported_with_the_last_epoch(
    settings: MakeSettings, tmp_path: Path
) -> None:
    report, folder = finished(settings, tmp_path)
    long = pd.read_parquet(folder / PER_PERTURBATION_FILE)
    for metric in ("retrieval", "overlap_at_50"):
        expected = long.loc[long["metric"] == metric, "value"].mean()
        assert report[f"best_{metric}"] == pytest.approx(expected)


def test_the_weights_give_the_best_pearson_delta_again(
    settings: MakeSettings, tmp_path: Path, prepared: Path
) -> None:
    report, folder = finished(settings, tmp_path, changes=OVERSHOOT)
    training, table = reloaded(settings, folder, prepared)
    again = pearson_delta(training.predict(list(table.perturbations)), table.delta)
    assert np.nanmean(again) == report[OBJECTIVE]


def reloaded(settings: MakeSettings, folder: Path, prepared: Path) -> tuple[Training, PerturbationTable]:
    """Build the model again, in another seed's state, and load what the trial left."""
    dataset = read_prepared(prepared)
    training = Training(config_of(settings()), dataset, 99, torch.device("cpu"))
    training.network.load_state_dict(load_file(folder / WEIGHTS_FILE))
    return training, dataset.splits["validation"].table


def test_a_trial_holds_no_test_split(settings: MakeSettings) -> None:
    trainer = begin(settings())
    trainer.step()
    assert set(trainer._dataset.splits) == {"train", "validation"}


def remove(folder: Path) -> None:
    shutil.rmtree(folder)


def spoil(folder: Path) -> None:
    for file in folder.rglob("*.npy"):
        file.write_bytes(b"\x93NUMPY garbage")


def replace_by_other_numbers(folder: Path) -> None:
    delta = np.load(folder / "delta.npy")
    np.save(folder / "delta.npy", np.random.default_rng(0).normal(size=delta.shape).astype(delta.dtype))


@pytest.mark.parametrize("change", [remove, spoil, replace_by_other_numbers])
def test_nothing_of_a_trial_depends_on_the_test_split(
    settings: MakeSettings,
    run_once: RunOnce,
    tmp_path: Path,
    prepared: Path,
    change: Callable[[Path], None],
) -> None:
    expected = run_once("plain")
    change(prepared / "test")
    changed, folder = finished(settings, tmp_path)
    assert changed == expected.reports[-1]
    found, table = (pd.read_parquet(each / PER_PERTURBATION_FILE) for each in (folder, expected.folders[-1]))
    pd.testing.assert_frame_equal(found, table)


def test_what_a_config_amounts_to_is_reported_once(settings: MakeSettings) -> None:
    trainer = begin(settings({"loss.lambda_non": 0.5}))
    first, second = trainer.step(), trainer.step()
    assert first["non_deg_shrinkage"] == pytest.approx(1 / (1 + 0.5 * 12 / 2))
    assert first["resolved_huber_delta"] > 0
    assert "resolved_huber_delta" not in second


def test_a_trial_of_a_reference_model_is_one_epoch_with_its_own_table(
    settings: MakeSettings, tmp_path: Path, prepared: Path
) -> None:
    trainer = begin(settings({"model.name": "ridge_both"}))
    (report,) = reports_of(trainer, 1)
    assert (report["epoch"], report[IS_OVER]) == (1, True)
    folder = tmp_path / "trials" / "001"
    long = pd.read_parquet(folder / PER_PERTURBATION_FILE)
    model = REFERENCE_MODELS["ridge_both"]()
    model.fit(read_prepared(prepared))
    table = read_prepared(prepared).splits["validation"].table
    expected = pearson_delta(model.predict(list(table.perturbations)), table.delta)
    np.testing.assert_allclose(long.loc[long["metric"] == "pearson_delta", "value"], expected, atol=1e-6)
    assert report[OBJECTIVE] == expected.mean()
    assert not (folder / WEIGHTS_FILE).exists()


def test_a_trainer_goes_from_one_model_to_another(settings: MakeSettings, run_once: RunOnce) -> None:
    trainer = begin(settings({"model.name": "control"}))
    reports_of(trainer, 1)
    trainer.take(settings())
    assert reports_of(trainer) == run_once("plain").reports


def test_the_last_epoch_says_that_the_trial_is_over(run_once: RunOnce) -> None:
    reports = run_once("plain").reports
    assert [(report["epoch"], report[IS_OVER]) for report in reports] == [
        (1, False),
        (2, False),
        (3, False),
        (4, True),
    ]


def test_every_report_says_where_the_trial_is_and_what_it_uses_there(settings: MakeSettings) -> None:
    trainer = begin(settings())
    for _ in range(2):
        report = trainer.step()
        assert set(report) >= set(SYSTEM[:2])
        assert report["system/process_memory_megabytes"] > 10
        assert report[HOST] == socket.gethostname()


def test_settings_come_back_from_text(settings: MakeSettings) -> None:
    made = settings({"model.tau": 0.25}, seed=3)
    assert TrialSettings.from_text(made.to_text()) == made
    assert made.config["model.tau"] == 0.25


def test_a_node_that_does_not_see_the_data_unpacks_what_was_shipped(
    settings: MakeSettings,
    run_once: RunOnce,
    prepared: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "node"))
    (tmp_path / "node").mkdir()
    shipped = ShippedFolder.pack(prepared)
    prepared.rename(tmp_path / "gone")
    made = settings({"data.fingerprint": "tiny"}, trial="002")
    trainer = begin(made, shipped)
    assert reports_of(trainer) == run_once("plain").reports
    assert present(trainer._dataset.path).parent == tmp_path / "node"


# killed and started again


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep a checkpoint every second epoch."""
    monkeypatch.setattr(*EVERY_SECOND)


def run_to_its_end(made: TrialSettings) -> list[dict[str, float]]:
    trainer = begin(made)
    reports: list[dict[str, Any]] = []
    while not reports or not reports[-1][IS_OVER]:
        reports.append(values_of(trainer.step()))
    return reports


@pytest.mark.parametrize(
    ("name", "epochs"), [("long, of means", range(1, 6)), ("long, of cells", (2, 3))], ids=["mean", "cell"]
)
def test_a_trial_that_is_killed_after_any_epoch_reports_the_same_when_started_again(
    settings: MakeSettings, often: None, run_once: RunOnce, name: str, epochs: Sequence[int]
) -> None:
    unbroken = run_once(name)
    for n_epochs in epochs:
        made = settings(RUNS[name], trial=str(n_epochs))
        copy_trial(unbroken.folders[n_epochs - 1], Path(made.folder))
        again = run_to_its_end(made)
        assert again == unbroken.reports[-len(again) :]
        # Never ahead of what was reported, and never far behind.
        assert n_epochs <= len(unbroken.reports) - len(again) + 2
        assert len(unbroken.reports) - len(again) <= n_epochs


def test_a_trial_that_is_killed_again_and_again_still_ends_alike(
    settings: MakeSettings, often: None, run_once: RunOnce
) -> None:
    made = settings(LONG)
    seen: list[dict[str, Any]] = []
    while not seen or not seen[-1][IS_OVER]:
        for report in reports_of(begin(made), min(3, 7 - len(seen))):
            seen = [*seen[: int(report["epoch"]) - 1], report]
            if report[IS_OVER]:
                break
    assert seen == run_once("long").reports


def test_a_checkpoint_is_written_before_the_next_epoch_and_not_with_a_report(
    settings: MakeSettings, often: None, tmp_path: Path
) -> None:
    trainer = begin(settings(LONG))
    epochs_kept = []
    for _ in range(6):
        trainer.step()
        epochs_kept.append([int(path.name[-6:]) for path in kept_checkpoints(tmp_path / "trials" / "001")])
    assert epochs_kept == [[], [], [2], [2], [4, 2], [4, 2]]


def test_slow_epochs_are_all_kept(
    settings: MakeSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapert.study.execution.trainer.CHECKPOINT_SECONDS", 0.0)
    reports_of(begin(settings()), 3)
    assert [path.name[-1] for path in kept_checkpoints(tmp_path / "trials" / "001")] == ["2", "1"]


@pytest.mark.parametrize("content", few_fast([b"{", b"", b"\x00" * 100], 1))
@pytest.mark.parametrize("name", ["checkpoint.safetensors", "checkpoint.json"])
def test_a_torn_checkpoint_gives_way_to_the_one_before_it(
    settings: MakeSettings, often: None, run_once: RunOnce, name: str, content: bytes
) -> None:
    unbroken, made = run_once("long"), settings(LONG)
    copy_trial(unbroken.folders[4], Path(made.folder))
    newest, _ = kept_checkpoints(Path(made.folder))
    (newest / name).write_bytes(content)
    again = run_to_its_end(made)
    assert again == unbroken.reports[2:]


# failures are reports


def failed(trainer: TrialTrainer) -> tuple[str, str]:
    report = trainer.step()
    assert set(report) == {FAILURE, MESSAGE}
    assert "\n" not in report[MESSAGE]
    return report[FAILURE], report[MESSAGE]


def raising(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def build(*_: object) -> NoReturn:
        raise error

    monkeypatch.setattr("adapert.study.execution.trainer.build_model", build)


def test_a_trial_that_diverges_says_so(settings: MakeSettings) -> None:
    trainer = begin(settings({"training.learning_rate": 1e30}))
    reason, message = failed(trainer)
    assert reason == EndReason.DIVERGED
    assert "must stay finite" in message


def test_a_model_that_is_too_large_for_the_machine_says_so(
    settings: MakeSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RuntimeError, match="memory") as refused:
        torch.empty(10**15)
    raising(monkeypatch, refused.value)
    reason, message = failed(begin(settings()))
    assert reason == EndReason.MEMORY
    assert message.startswith("RuntimeError: ")
    assert not (tmp_path / "trials" / "001" / ERROR_FILE).exists()


@pytest.mark.parametrize(
    "error", [MemoryError("no"), MemoryError(), torch.OutOfMemoryError("CUDA out of memory")]
)
def test_a_lack_of_memory_says_so(
    settings: MakeSettings, monkeypatch: pytest.MonkeyPatch, error: MemoryError | OutOfMemoryError
) -> None:
    raising(monkeypatch, error)
    assert failed(begin(settings()))[0] == EndReason.MEMORY


def test_an_exception_is_told_in_a_line_and_its_traceback_left_in_a_file(
    settings: MakeSettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    raising(monkeypatch, ValueError("no\nnever"))
    assert failed(begin(settings())) == (EndReason.ERROR, "ValueError: no")
    text = (tmp_path / "trials" / "001" / ERROR_FILE).read_text()
    assert text.startswith("Traceback")
    assert text.endswith("ValueError: no\nnever\n")


def test_a_full_disk_is_the_study_s_trouble(
    settings: MakeSettings, often: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = begin(settings(LONG))
    reports_of(trainer, 2)

    def full(*_: Path) -> NoReturn:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr("adapert.files.os.replace", full)
        reason, message = failed(trainer)
    assert reason == DISK
    assert "No space left on device" in message


def test_a_full_disk_that_python_itself_reports_is_the_study_s_trouble_too(
    settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    raising(monkeypatch, OSError(errno.ENOSPC, "No space left on device"))
    assert failed(begin(settings()))[0] == DISK


def test_memory_that_others_use_is_no_failure_of_the_trial(
    settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = begin(settings())
    with monkeypatch.context() as machine:
        machine.setattr("adapert.study.execution.memory.LEAST_MEMORY", 2**60)
        with pytest.raises(NoMemoryError, match="must find"):
            trainer.step()
    assert trainer.step()["epoch"] == 1


def test_a_trainer_takes_the_next_trial_after_a_failure(settings: MakeSettings, run_once: RunOnce) -> None:
    trainer = begin(settings({"training.learning_rate": 1e30}, trial="002"))
    failed(trainer)
    trainer.take(settings(trial="003"))
    assert reports_of(trainer) == run_once("plain").reports
