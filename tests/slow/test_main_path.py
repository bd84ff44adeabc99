"""From simulated files to a picked config and a figure, with the real command, Ray, Optuna and MLflow."""

import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import optuna
import pandas as pd
import pytest
from fixtures.command import RunCommand
from fixtures.launched import SEARCH, command, runs_in
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from adapert.config import read_config
from adapert.data.prepared import read_prepared
from adapert.records import (
    CONFIG_FILE,
    LONG_COLUMNS,
    OBJECTIVE,
    PER_PERTURBATION_FILE,
    WEIGHTS_FILE,
    Tag,
    TrialStatus,
)
from adapert.results.find import open_study
from adapert.results.load import load_per_perturbation
from adapert.results.tracked import TrackedResults
from adapert.study.engine.ledger import LEDGER_FILE, read_events
from adapert.study.engine.search import round_suggestion
from adapert.study.engine.state import fold
from adapert.tracking.read import study_run, trial_runs
from adapert.tracking.store import open_store, tracking_uri
from search_spaces.adapert import SPACE

pytestmark = pytest.mark.slow

DESIGN = """
from adapert.study.plan.study import Design, Study

VARIANTS = {
    "full": {},
    "no_context": {"model.context": "constant"},
    "hot": {"training.learning_rate": 1e30},  # diverges
    "control": {"model.name": "control"},  # one epoch, without a Pearson-delta
}

def study(base):
    plan = Design(kind="ablation", variants=VARIANTS, n_seeds=2)
    return Study(name="tiny_design", question="Does it matter?", base=base, plan=plan)
"""


@dataclass(frozen=True)
class Launched:
    """A study that was launched, and how the command ended."""

    name: str
    workspace: Path
    status: int
    out: str

    @property
    def trials(self) -> pd.DataFrame:
        return open_study(self.workspace, self.name).frame

    @property
    def folder(self) -> Path:
        return self.workspace / "studies" / self.name


@dataclass(frozen=True)
class World:
    """The prepared data, and the studies on them by what they are for."""

    prepared: Path
    search: Launched
    design: Launched


def launch(directory: Path, name: str, recipe: str, prepared: Path, *options: str) -> Launched:
    line = command(directory, name, recipe, prepared, *options)
    ended = subprocess.run(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    study = "tiny_search" if recipe == SEARCH else "tiny_design"
    return Launched(study, directory / f"{name} runs", ended.returncode, ended.stdout)


@pytest.fixture(scope="module")
def world(launchable: Path) -> World:
    one_by_one = ("--max-epochs", "4", "--max-concurrent", "1")
    launches = {
        "search": (SEARCH, one_by_one),
        "design": (DESIGN, ("--max-epochs", "3")),
    }
    with ThreadPoolExecutor(2) as two_at_once:
        started = {
            name: two_at_once.submit(launch, launchable.parent, name, recipe, launchable, *options)
            for name, (recipe, options) in launches.items()
        }
    return World(launchable, **{name: launched.result() for name, launched in started.items()})


def test_a_study_that_ends_well_says_what_to_do_next(world: World) -> None:
    assert world.search.status == 0, world.search.out
    assert "of 3 trials in" in world.search.out
    assert "adapert pick tiny_search --workspace" in world.search.out


def test_the_store_holds_every_trial_below_its_study_and_all_have_ended(world: World) -> None:
    for launched, n_trials, status in [(world.search, 3, "FINISHED"), (world.design, 8, "FAILED")]:
        runs = runs_in(launched.workspace)
        parents = [run for run in runs if run.data.tags[Tag.KIND] == "study"]
        children = [run for run in runs if run.data.tags[Tag.KIND] == "trial"]
        assert [run.info.status for run in parents] == [status]
        assert len(children) == n_trials
        assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parents[0].info.run_id}
        assert {run.info.status for run in children} <= {"FINISHED", "KILLED", "FAILED"}


@pytest.mark.parametrize("kind", ["search", "design"])
def test_mlflow_says_what_the_ledger_says(world: World, kind: str) -> None:
    launched = getattr(world, kind)
    tracked = TrackedResults(tracking_uri(launched.workspace), launched.name)
    pd.testing.assert_frame_equal(launched.trials, tracked.frame, check_exact=True, check_like=True)


def test_optuna_was_told_what_the_ledger_says(world: World) -> None:
    storage = JournalStorage(JournalFileBackend(str(world.search.folder / "optuna_journal.log")))
    asked = optuna.load_study(study_name="tiny_search", storage=storage).trials
    tau = SPACE["model.tau"]
    taus = {trial.number: round_suggestion(trial.params["model.tau"], tau) for trial in asked}
    states = {taus[trial.number]: trial.state.name for trial in asked}
    trials = world.search.trials
    expected = {"finished": "COMPLETE", "stopped": "PRUNED"}
    assert states == {
        tau: expected[status] for tau, status in zip(trials["model.tau"], trials["status"], strict=True)
    }
    assert set(states.values()) == {"COMPLETE", "PRUNED"}
    values = {taus[trial.number]: trial.value for trial in asked if trial.state.name == "COMPLETE"}
    finished = trials[trials["status"] == "finished"]
    assert values == dict(zip(finished["model.tau"], finished[OBJECTIVE], strict=True))


def test_finished_trials_alone_have_a_table_whose_mean_is_their_objective(world: World) -> None:
    tables = load_per_perturbation(open_study(world.search.workspace, "tiny_search"))
    trials = world.search.trials
    finished = trials[trials["status"] == "finished"]
    validation = read_prepared(world.prepared).splits["validation"].table.perturbations
    assert set(tables["perturbation"]) == set(validation)
    assert set(LONG_COLUMNS) <= set(tables.columns)
    means = tables[tables["metric"] == "pearson_delta"].groupby("config_digest")["value"].mean()
    assert means.to_dict() == pytest.approx(
        dict(zip(finished["config_digest"], finished[OBJECTIVE], strict=True)),
        rel=1e-5,  # epochs are scored in single precision
    )
    client, _ = open_store(world.search.workspace)
    for run in trial_runs(tracking_uri(world.search.workspace), "tiny_search"):
        files = {file.path for file in client.list_artifacts(run.info.run_id)}
        assert (PER_PERTURBATION_FILE in files) == (run.data.tags[Tag.STATUS] == "finished")


def test_a_design_gives_every_variant_the_same_seeds_and_epochs(world: World) -> None:
    trials = world.design.trials
    pairs = sorted(zip(trials["variant"], trials["seed"], strict=True))
    assert pairs == [
        (variant, seed) for variant in ("control", "full", "hot", "no_context") for seed in (0, 1)
    ]
    assert set(trials.loc[trials["variant"] == "control", "epoch"]) == {1.0}
    trials = trials[trials["variant"].isin(["full", "no_context"])]
    assert set(trials["epoch"]) == {3.0}
    contexts = dict(zip(trials["variant"], trials["model.context"], strict=True))
    assert contexts == {"full": "adaptive", "no_context": "constant"}


def test_a_study_costs_what_its_trials_took(world: World) -> None:
    trials = world.design.trials
    parent = next(
        run for run in runs_in(world.design.workspace) if run.data.tags[Tag.KIND] == "study"
    ).data.metrics
    assert parent["n_finished"] == 6.0
    assert parent["trial_hours"] == pytest.approx(trials["total_seconds"].sum() / 3600)
    assert parent["trial_hours"] > 0


def test_of_each_trial_its_results_stay_and_nothing_else(world: World) -> None:
    for launched in (world.search, world.design):
        for record in fold(read_events(launched.folder / LEDGER_FILE)).records.values():
            found = {path.name for path in (launched.folder / "trials" / record.trial_id).iterdir()}
            results = {PER_PERTURBATION_FILE} if record.status == TrialStatus.FINISHED else set()
            assert found - {WEIGHTS_FILE} == {CONFIG_FILE} | results


def test_the_picked_config_can_be_launched(world: World, adapert: RunCommand, tmp_path: Path) -> None:
    where = ("--out", "best.yaml", "--workspace", world.search.workspace)
    picked = adapert("pick", "tiny_search", *where, "--no-reevaluation")
    assert picked.status == 0
    trials = world.search.trials
    finished = trials[trials["status"] == "finished"]
    best = finished.iloc[finished[OBJECTIVE].argmax()]
    assert read_config(tmp_path / "best.yaml").digest() == best["config_digest"]
    planned = adapert("launch", "ablation", "--config", "best.yaml", "--dry-run")
    assert planned.status == 0
    assert "18 trials of at most 4 epochs" in planned.out
    assert not (tmp_path / "runs").exists()


def test_an_ablation_has_its_figure(world: World, adapert: RunCommand, tmp_path: Path) -> None:
    drawn = adapert("figures", "tiny_design", "--workspace", world.design.workspace, "--out", "figures")
    assert drawn.status == 0
    files = {path.name for path in (tmp_path / "figures").iterdir()}
    figure = {f"figure_4_ablation.{form}" for form in ("png", "svg", "pdf", "csv")}
    assert files == figure | {f"claims.{form}" for form in ("csv", "md", "tex")}
    assert set(pd.read_csv(tmp_path / "figures" / "figure_4_ablation.csv")["variant"]) >= {
        "full",
        "no_context",
    }
    client, _ = open_store(world.design.workspace)
    parent = study_run(tracking_uri(world.design.workspace), "tiny_design").info.run_id
    assert [file.path for file in client.list_artifacts(parent, "figures")] == [
        "figures/figure_4_ablation.png"
    ]


def test_a_trial_that_is_run_again_has_the_same_numbers(world: World, adapert: RunCommand) -> None:
    trials = world.search.trials
    assert set(trials["status"]) == {"finished", "stopped"}
    ledgers = sorted(world.search.workspace.rglob(LEDGER_FILE))
    for run in trials["run"]:
        ended = adapert("rerun", run, "--workspace", world.search.workspace)
        assert ended.status == 0, ended.out
    assert sorted(world.search.workspace.rglob(LEDGER_FILE)) == ledgers
    assert len(world.search.trials) == 3


def test_trials_that_diverge_fail_alone_with_their_sentence(world: World) -> None:
    trials = world.design.trials
    assert world.design.status == 1
    assert set(zip(trials["variant"], trials["status"], strict=True)) == {
        ("full", "finished"),
        ("no_context", "finished"),
        ("control", "finished"),
        ("hot", "failed"),
    }
    runs = trial_runs(tracking_uri(world.design.workspace), "tiny_design")
    (message,) = {run.data.tags[Tag.MESSAGE] for run in runs if run.info.status == "FAILED"}
    assert "must stay finite" in message
    assert message.endswith("Lower training.learning_rate.")
    assert f"2 failed: {message}" in world.design.out
    assert "Traceback" not in world.design.out
