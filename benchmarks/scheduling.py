"""What orchestration costs: seconds a trial and driver memory, compared with plain Ray Tune and plain Optuna.

A trivial trial fits the model that predicts no change, on a small data set, and is evaluated and tracked as
any other. Its own work is measured in this process, without any scheduler. What a scheduler adds is the wall
time from the first trial's start to the last one's end, less that work on `AT_ONCE` workers, divided by the
trials.
"""

import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import optuna
import psutil
from rich.console import Console

from adapert.config import Config
from adapert.records import IS_OVER
from adapert.study.engine.events import EpochReported, TrialEnded, TrialStarted
from adapert.study.engine.folders import study_folder
from adapert.study.engine.ledger import LEDGER_FILE, read_events
from adapert.study.engine.limits import Limits
from adapert.study.execution.on_ray import started_ray
from adapert.study.execution.resources import Resources
from adapert.study.execution.trainable import REPORT, TrialTrainable
from adapert.study.execution.trainer import TrialSettings, TrialTrainer
from adapert.study.plan.study import FixedRung, Search, Study
from adapert.workspace.launch import build_base, launch
from adapert.workspace.session import StudyResult
from benchmarks.kills import prepare_small
from benchmarks.measurement import Measurement
from search_spaces.adapert import SPACE

AT_ONCE = 2
N_TRIALS = 200
N_MANY = 1000
LONG_SECONDS = 30
TRIVIAL = {"model.name": "control"}
QUIET = Console(quiet=True)


def measure(scratch: Path) -> Iterator[Measurement]:
    """Run the same trivial trials under adapert, Ray Tune and Optuna, then long ones under adapert."""
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        data = prepare_small(folder)
        work = measure_work(data, folder)
        tune_added = (time_ray_tune(data, folder) - work * N_TRIALS / AT_ONCE) / N_TRIALS
        optuna_added = time_optuna(data, folder) / N_TRIALS - work
        result, wall, _ = run_trivial(data, folder / "trivial", N_TRIALS)
        assert len(result.records) == N_TRIALS
        yield Measurement(
            name="orchestration",
            value=(wall - work * N_TRIALS / AT_ONCE) / N_TRIALS,
            unit="s a trial",
            target=0.1,
            note=f"{N_TRIALS} trials of {work:.3f} s, {AT_ONCE} at once; plain Ray Tune "
            f"{tune_added:.3f}, plain Optuna in one process {optuna_added:.4f}",
        )
        yield measure_long(data, folder / "long")
        yield measure_memory(data, folder / "many")


def measure_work(data: Path, folder: Path, n: int = 30) -> float:
    """Seconds of a trivial trial by itself, in a process that has fitted one before."""
    base = build_base(data, None, TRIVIAL)
    trainer = TrialTrainer()
    run(trainer, trial(base, folder, 0))
    started = time.perf_counter()
    for number in range(1, n + 1):
        run(trainer, trial(base, folder, number))
    return (time.perf_counter() - started) / n


def run(trainer: TrialTrainer, settings: TrialSettings) -> float:
    """Train a trial to its end and return its objective."""
    trainer.take(settings)
    while not (report := trainer.step())[IS_OVER]:
        pass
    return float(report["best_pds"])


def trial(config: Config, folder: Path, number: int) -> TrialSettings:
    """Settings of a trial, as a study hands them to a trainer."""
    place = str(folder / "plain" / str(number))
    return TrialSettings(
        trial_id=str(number), study="plain", variant="search", seed=number, config=config.flat(), folder=place
    )


def settings(config: Config, folder: Path, number: int) -> dict[str, str]:
    """The same, as Tune hands them to a worker."""
    return {"settings": trial(config, folder, number).to_text()}


def fit_with_tune(
    trainable: type[TrialTrainable],
    trials: Sequence[dict[str, str]],
    folder: Path,
    callback: Any,
    **tuning: Any,
) -> None:
    """Run trials under Ray Tune as it comes, with reused actors."""
    from ray import tune

    tune.Tuner(
        tune.with_resources(trainable, {"cpu": 1}),
        param_space={"settings": tune.grid_search([trial["settings"] for trial in trials])},
        tune_config=tune.TuneConfig(reuse_actors=True, **tuning),
        run_config=tune.RunConfig(storage_path=str(folder / "tune"), callbacks=[callback], verbose=0),
    ).fit()


def time_ray_tune(data: Path, folder: Path) -> float:
    """Wall seconds of the trials under Ray Tune as it comes, with reused actors."""
    from ray import tune

    class Plain(TrialTrainable):
        def step(self):  # type: ignore[no-untyped-def]
            report = super().step()[REPORT]
            return report | {"done": report[IS_OVER]}

    times: list[float] = []

    class Times(tune.Callback):  # type: ignore[misc]
        def on_trial_start(self, iteration, trials, trial, **info):  # type: ignore[no-untyped-def]
            times.append(time.perf_counter())

        on_trial_complete = on_trial_start

        def __getstate__(self):  # type: ignore[no-untyped-def]
            return {}

    base = build_base(data, None, TRIVIAL)
    trials = [settings(base, folder, number) for number in range(N_TRIALS)]
    with started_ray():
        fit_with_tune(Plain, trials, folder, Times(), max_concurrent_trials=AT_ONCE)
    return max(times) - min(times)


def time_optuna(data: Path, folder: Path) -> float:
    """Wall seconds of the trials in Optuna's own loop, one after the other in this process."""
    base = build_base(data, None, TRIVIAL)
    trainer = TrialTrainer()
    numbers = count()

    def objective(asked: optuna.Trial) -> float:
        for name, distribution in SPACE.items():
            asked._suggest(name, distribution)
        return run(trainer, trial(base, folder, next(numbers)))

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    started = time.perf_counter()
    study.optimize(objective, n_trials=N_TRIALS)
    return time.perf_counter() - started


def run_trivial(data: Path, workspace: Path, n_trials: int) -> tuple[StudyResult, float, list[float]]:
    """Run a search of trivial trials; return its result, wall seconds, and driver memory after each trial."""
    base = build_base(data, None, TRIVIAL | {"training.max_epochs": 1})
    plan = Search(space=SPACE, n_trials=n_trials, sampler="random", first_rung=FixedRung(1))
    study = Study(name="trivial", question="What does orchestration cost?", base=base, plan=plan)
    return run_study(study, workspace)


def run_study(study: Study, workspace: Path) -> tuple[StudyResult, float, list[float]]:
    """Run a study in this process, quietly."""
    memory: list[float] = []
    quiet = _MemoryConsole(memory)
    result = launch(study, workspace, Resources(max_concurrent=AT_ONCE), Limits(), quiet)
    events = read_events(study_folder(workspace, study.name) / LEDGER_FILE)
    starts = [event.time for event in events if isinstance(event, TrialStarted)]
    ends = [event.time for event in events if isinstance(event, TrialEnded)]
    return result, ends[-1] - starts[0], memory


class _MemoryConsole(Console):
    """Notes this process's memory whenever a trial's end is printed."""

    def __init__(self, memory: list[float]) -> None:
        super().__init__(quiet=True)
        self._memory, self._process = memory, psutil.Process()

    def print(self, *objects: object, **options: object) -> None:
        self._memory.append(self._process.memory_info().rss / 2**20)


def measure_long(data: Path, workspace: Path) -> Measurement:
    """Share of the wall time that trials of about half a minute do not spend training."""
    changes = {"data.control": "cell", "training.minibatch_size": 2, "training.patience": 10_000}
    base = build_base(data, None, changes | {"training.max_epochs": 10_000})
    second = _seconds_per_epoch(base.with_changes({"training.max_epochs": 5}))
    base = base.with_changes({"training.max_epochs": max(1, round(LONG_SECONDS / second))})
    plan = Search(space=SPACE, n_trials=6, sampler="random", first_rung=FixedRung(base.training.max_epochs))
    study = Study(name="long", question="What does orchestration cost?", base=base, plan=plan)
    result, wall, _ = run_study(study, workspace)
    events = read_events(study_folder(workspace, study.name) / LEDGER_FILE)
    reports = [event for event in events if isinstance(event, EpochReported)]
    training = sum(event.metrics["seconds"] for event in reports)
    n_epochs = base.training.max_epochs
    return Measurement(
        name="overhead_long",
        value=100 * (1 - training / (AT_ONCE * wall)),
        unit="%",
        target=5,
        note=f"{len(result.records)} trials of {training / len(result.records):.0f} s ({n_epochs} epochs), "
        f"{AT_ONCE} at once; building, checkpoints, evaluation and idle ends included",
    )


def _seconds_per_epoch(config: Config) -> float:
    import torch

    from adapert.data.prepared import read_prepared
    from adapert.registry import build_model
    from adapert.training.fit import begin_fit

    torch.set_num_threads(1)
    fit = begin_fit(build_model(config, 0, torch.device("cpu")), read_prepared(Path(config.data.path)))
    seconds = []
    while not fit.is_over:
        seconds.append(fit.step()["seconds"])
    return min(seconds)


def measure_memory(data: Path, workspace: Path) -> Measurement:
    """Growth of the driver's memory over many trials, after the first tenth."""
    _, wall, memory = run_trivial(data, workspace, N_MANY)
    early, late = memory[N_MANY // 10], memory[-1]
    return Measurement(
        name="driver_memory",
        value=late / early,
        unit="times",
        target=1.1,
        note=f"{early:.0f} MB after {N_MANY // 10} trials, {late:.0f} MB after {N_MANY} ({wall:.0f} s)",
    )
