import io
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from fixtures.dataset import build_tiny_dataset, write_prepared
from fixtures.edited import Copy
from fixtures.launched import runs_in
from fixtures.ledger import HandMade, MakeLedger
from fixtures.narrowed import present
from optuna.distributions import CategoricalDistribution, FloatDistribution
from rich.console import Console

from adapert.config import Config
from adapert.errors import InputError
from adapert.records import EndReason, Tag, TrialStatus
from adapert.results.ledger import write_pick
from adapert.results.study import PickRecord
from adapert.study.engine.events import ChangesAccepted, RunTracked, SessionClosed, StudyExtended
from adapert.study.engine.folders import PICK_FILE, copy_figures, copy_report, find_study, study_names
from adapert.study.engine.ledger import held
from adapert.study.engine.limits import Limits
from adapert.study.engine.requests import has_requests, read_requests, write_request
from adapert.study.execution.resources import Resources
from adapert.study.plan.definition import describe_origin
from adapert.study.plan.study import Design, Search
from adapert.tracking.runs import EVALUATION_FILES, Connect
from adapert.tracking.store import ARTIFACTS, DATABASE, open_store
from adapert.tracking.tracker import Tracker, count_waiting
from adapert.workspace.resume import extend, resume, stop, sync

SEARCH = Search(space={"model.tau": FloatDistribution(0.1, 2.0, log=True)}, n_trials=3)
GRID = Search(space={"graph.top_k": CategoricalDistribution([5, 10])}, sampler="grid")
DESIGN = Design(kind="ablation", variants={"full": {}, "sharp": {"model.tau": 0.5}}, n_seeds=2)
RESUMED = object()

Operated = list[tuple[Path, Resources, Limits, Path | None, bool]]


@pytest.fixture
def begun(make_ledger: MakeLedger, tmp_path: Path, workspace: Path) -> MakeLedger:
    """A study of some data that a process has taken up and left."""
    write_prepared(build_tiny_dataset(), tmp_path / "prepared")

    def make(plan: Design | Search = DESIGN, name: str = "try", **options: Any) -> HandMade:
        base = Config().with_changes({"data.path": str(tmp_path / "prepared"), "data.fingerprint": "tiny"})
        made = make_ledger(name, plan, base, workspace, **options)
        had = asdict(Resources(max_concurrent=1)) | {"of_a_later_version": 1}
        made.opened(resources=had, limits=Limits(target=0.9))
        return made

    return make


@pytest.fixture
def operated(monkeypatch: pytest.MonkeyPatch) -> Operated:
    """The arguments that a study was resumed with, instead of resuming it."""
    calls: Operated = []

    def operate(
        folder: Path, resources: Resources, limits: Limits, console: Console, connect: Connect, data: Path
    ) -> object:
        calls.append((folder, resources, limits, data, has_requests(folder)))
        return RESUMED

    monkeypatch.setattr("adapert.workspace.resume.operate", operate)
    return calls


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=300)


# which study


def test_an_unknown_study_is_answered_with_the_nearest_and_all_there_are(
    begun: MakeLedger, workspace: Path
) -> None:
    begun(name="search_wide")
    begun(name="ablation")
    assert study_names(workspace) == ["ablation", "search_wide"]
    with pytest.raises(
        InputError,
        match=r"no study 'serch_wide' .*Did you mean 'search_wide'\? It has 'ablation', 'search_wide'",
    ):
        find_study(workspace, "serch_wide")


def test_a_workspace_without_studies_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no study 'try' in '.*'\. It has no study yet\. .* --workspace"):
        find_study(tmp_path, "try")


# resume


def test_a_study_is_resumed_with_what_it_was_last_given(
    begun: MakeLedger, workspace: Path, operated: Operated, console: Console, tmp_path: Path
) -> None:
    made = begun()
    assert resume(workspace, "try", console, {"max_concurrent": None}, {"target": None}) is RESUMED
    assert operated == [
        (made.folder, Resources(max_concurrent=1), Limits(target=0.9), tmp_path / "prepared", False)
    ]


def test_what_is_given_again_takes_the_place_of_what_was(
    begun: MakeLedger, workspace: Path, operated: Operated, console: Console
) -> None:
    begun()
    resume(workspace, "try", console, {"max_concurrent": 2, "max_failures": 0}, {"seconds": 60.0})
    _, resources, limits, *_ = operated[0]
    assert resources == Resources(max_concurrent=2, max_failures=0)
    assert limits == Limits(seconds=60.0, target=0.9)


def test_a_study_that_was_killed_before_it_was_opened_goes_on(
    make_ledger: MakeLedger, begun: MakeLedger, workspace: Path, operated: Operated, console: Console
) -> None:
    made = begun()
    made.path.write_text(made.path.read_text().splitlines()[0] + "\n")
    resume(workspace, "try", console, {}, {})
    assert operated[0][1:3] == (Resources(), Limits())


def test_a_machine_with_less_than_the_study_uses_is_refused(
    begun: MakeLedger, workspace: Path, operated: Operated, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = begun()
    made.opened(resources=asdict(Resources(gpus_per_trial=1.0, device="cuda")))
    monkeypatch.setattr("adapert.study.execution.resources.count_gpus", lambda: 0)
    with pytest.raises(InputError, match="this machine has none"):
        resume(workspace, "try", console, {}, {})
    assert operated == []


def test_a_study_that_another_process_runs_is_refused(
    begun: MakeLedger, workspace: Path, operated: Operated, console: Console
) -> None:
    made = begun()
    with held(made.folder), pytest.raises(InputError, match=r"run by process \d+ on .* 'adapert status try'"):
        resume(workspace, "try", console, {}, {})


# what has changed


def other_code(made: HandMade) -> None:
    origin = describe_origin(made.study)
    made.change_first(origin=origin | {"code": origin["code"] | {"adapert.training.loop": "other"}})


def other_versions(made: HandMade) -> None:
    origin = describe_origin(made.study)
    made.change_first(origin=origin | {"versions": origin["versions"] | {"torch": "1.0"}})


def other_data(made: HandMade) -> None:
    made.change_first(origin=describe_origin(made.study) | {"data": "0123"})


CHANGES = [
    (other_code, "the code of 'adapert.training.loop' has changed"),
    (other_versions, "torch was 1.0 and is"),
    (other_data, "the data's fingerprint was 0123 and is tiny"),
]


@pytest.mark.parametrize(("change", "says"), CHANGES)
def test_a_change_is_refused_by_name(
    begun: MakeLedger,
    workspace: Path,
    operated: Operated,
    console: Console,
    change: Callable[[HandMade], None],
    says: str,
) -> None:
    change(begun())
    with pytest.raises(InputError, match=f"{says}.*--accept-changes"):
        resume(workspace, "try", console, {}, {})
    assert operated == []


def test_an_edited_module_of_the_package_is_refused(
    begun: MakeLedger, workspace: Path, package_copy: Copy
) -> None:
    begun()
    package_copy.edit("data/differential.py")
    ended = package_copy.run("resume", "try", "--workspace", str(workspace))
    assert ended.returncode == 2
    assert "the code of 'adapert.data.differential' has changed" in " ".join(ended.stderr.split())


def test_extending_after_a_change_names_the_command_that_accepts_it(
    begun: MakeLedger, workspace: Path, operated: Operated, console: Console
) -> None:
    other_code(begun())
    with pytest.raises(InputError, match=r"first accept .* 'adapert resume --accept-changes'"):
        extend(workspace, "try", console, None, 2)
    resume(workspace, "try", console, {}, {}, is_accepted=True)
    assert extend(workspace, "try", console, None, 2) is RESUMED


@pytest.mark.parametrize(("change", "says"), CHANGES)
def test_a_change_that_was_accepted_once_is_not_asked_about_again(
    begun: MakeLedger,
    workspace: Path,
    operated: Operated,
    console: Console,
    change: Callable[[HandMade], None],
    says: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    made = begun()
    change(made)
    resume(workspace, "try", console, {}, {}, is_accepted=True)
    assert f"Accepted: {says}" in caplog.text
    assert isinstance(made.events[-1], ChangesAccepted)
    assert says in made.events[-1].changes[0]
    resume(workspace, "try", console, {}, {})
    assert len(operated) == 2


def test_data_that_were_prepared_again_are_refused(
    begun: MakeLedger, workspace: Path, operated: Operated, console: Console, tmp_path: Path
) -> None:
    begun()
    manifest = tmp_path / "prepared" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"tiny"', '"other"'))
    with pytest.raises(InputError, match="the data's fingerprint was tiny and is other"):
        resume(workspace, "try", console, {}, {})


def test_data_whose_values_were_damaged_are_refused(
    begun: MakeLedger, workspace: Path, operated: Operated, console: Console, tmp_path: Path
) -> None:
    begun()
    delta = np.load(tmp_path / "prepared" / "train" / "delta.npy")
    delta[0, 0] = np.nan
    np.save(tmp_path / "prepared" / "train" / "delta.npy", delta)
    for is_accepted in (False, True):
        with pytest.raises(InputError, match=r"delta\.npy' holds values that are no finite numbers"):
            resume(workspace, "try", console, {}, {}, is_accepted)
    assert operated == []


COMMANDS: dict[str, Callable[[Path, Console, Path | None], object]] = {
    "resume": lambda workspace, console, data: resume(workspace, "try", console, {}, {}, data=data),
    "extend": lambda workspace, console, data: extend(workspace, "try", console, None, 2, data),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_data_that_are_gone_are_refused_with_the_option_that_finds_them(
    begun: MakeLedger, workspace: Path, operated: Operated, console: Console, tmp_path: Path, command: str
) -> None:
    made = begun()
    away = (tmp_path / "prepared").rename(tmp_path / "away")
    with pytest.raises(InputError, match=r"prepared' is not there, .* Name it with --data DIR\."):
        COMMANDS[command](workspace, console, None)
    assert (operated, has_requests(made.folder)) == ([], False)
    assert COMMANDS[command](workspace, console, away) is RESUMED
    assert operated[0][3] == away


@pytest.mark.parametrize("command", COMMANDS)
def test_data_that_moved_together_with_the_workspace_are_found(
    begun: MakeLedger, workspace: Path, operated: Operated, console: Console, tmp_path: Path, command: str
) -> None:
    begun()
    moved = workspace / "prepared"
    shutil.move(tmp_path / "prepared", moved)
    COMMANDS[command](workspace, console, None)
    assert operated[0][3] == moved


def test_where_data_were_last_named_is_remembered(
    begun: MakeLedger, workspace: Path, operated: Operated, console: Console, tmp_path: Path
) -> None:
    made = begun()
    away = (tmp_path / "prepared").rename(tmp_path / "away")
    made.opened(data=str(away))
    resume(workspace, "try", console, {}, {})
    assert operated[0][3] == away


def test_other_data_that_are_named_are_refused_until_they_are_accepted(
    begun: MakeLedger, workspace: Path, operated: Operated, console: Console, tmp_path: Path
) -> None:
    begun()
    other = tmp_path / "other"
    shutil.copytree(tmp_path / "prepared", other)
    manifest = other / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"tiny"', '"other"'))
    with pytest.raises(InputError, match="the data's fingerprint was tiny and is other"):
        resume(workspace, "try", console, {}, {}, data=other)
    resume(workspace, "try", console, {}, {}, is_accepted=True, data=other)
    assert operated[0][3] == other


RECIPE = """
from optuna.distributions import FloatDistribution
from adapert.study.plan.study import Search, Study

def study(base):
    space = {"model.tau": FloatDistribution(0.1, 2.0, log=True)}
    return Study(name="try", question="Which one?", base=base, plan=Search(space=space))
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.py"
    path.write_text(RECIPE)
    return path


def test_a_recipe_that_is_the_same_or_gone_is_no_change(
    begun: MakeLedger, workspace: Path, operated: Operated, console: Console, recipe: Path
) -> None:
    begun(SEARCH, recipe=str(recipe))
    resume(workspace, "try", console, {}, {})
    recipe.unlink()
    resume(workspace, "try", console, {}, {})
    assert len(operated) == 2


def test_a_recipe_of_another_space_is_refused_until_it_is_accepted(
    begun: MakeLedger, workspace: Path, operated: Operated, console: Console, recipe: Path
) -> None:
    begun(SEARCH, recipe=str(recipe))
    recipe.write_text(RECIPE.replace("2.0", "3.0"))
    with pytest.raises(InputError, match=r"recipe '.*recipe\.py' now has a different search space"):
        resume(workspace, "try", console, {}, {})
    resume(workspace, "try", console, {}, {}, is_accepted=True)
    resume(workspace, "try", console, {}, {})
    recipe.write_text(RECIPE.replace("2.0", "4.0"))
    with pytest.raises(InputError, match="a different search space"):
        resume(workspace, "try", console, {}, {})


# extend


@pytest.mark.parametrize(
    ("plan", "n_trials", "n_seeds", "says"),
    [
        (SEARCH, None, 2, r"A search is extended by --trials, but 'try' was given none\. Add --trials N"),
        (SEARCH, None, None, "A search is extended by --trials"),
        (SEARCH, 2, 2, "A search is extended by --trials alone"),
        (DESIGN, 2, None, r"A design is extended by --seeds, but 'try' was given none\. Add --seeds N"),
        (DESIGN, None, None, "A design is extended by --seeds"),
        (DESIGN, 2, 2, "A design is extended by --seeds alone"),
        (GRID, 2, None, r"A grid has all its points, .*Launch another"),
        (GRID, None, 2, "A grid has all its points"),
    ],
)
def test_what_a_plan_does_not_have_extends_no_study(
    begun: MakeLedger,
    workspace: Path,
    operated: Operated,
    console: Console,
    plan: Design | Search,
    n_trials: int | None,
    n_seeds: int | None,
    says: str,
) -> None:
    made = begun(plan)
    with pytest.raises(InputError, match=says):
        extend(workspace, "try", console, n_trials, n_seeds)
    assert (operated, has_requests(made.folder)) == ([], False)


@pytest.mark.parametrize(("plan", "more"), [(SEARCH, (2, None)), (DESIGN, (None, 2))])
def test_a_study_that_nobody_runs_is_resumed_by_the_request(
    begun: MakeLedger,
    workspace: Path,
    operated: Operated,
    console: Console,
    plan: Design | Search,
    more: tuple[int | None, int | None],
) -> None:
    begun(plan)
    assert extend(workspace, "try", console, *more) is RESUMED
    assert operated[0][-1]


def test_a_request_that_is_refused_does_not_wait_for_the_next_process(
    begun: MakeLedger, workspace: Path, operated: Operated, console: Console
) -> None:
    made = begun()
    other_code(made)
    with pytest.raises(InputError, match="has changed"):
        extend(workspace, "try", console, None, 2)
    assert not has_requests(made.folder)


@pytest.mark.parametrize("is_taken_up", [True, False])
def test_an_extension_that_was_killed_and_typed_again_is_resumed(
    begun: MakeLedger,
    workspace: Path,
    operated: Operated,
    console: Console,
    is_taken_up: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    made = begun()
    write_request(made.folder, "extend", n_trials=None, n_seeds=2)
    if is_taken_up:
        ((file, _),) = read_requests(made.folder)
        made.say(StudyExtended, request=file.stem, n_trials=None, n_seeds=2)
        file.unlink()
    assert extend(workspace, "try", console, None, 2) is RESUMED
    assert len(read_requests(made.folder)) == (0 if is_taken_up else 1)
    assert "was already extended by as much" in caplog.text


@pytest.mark.parametrize(
    ("n_seeds", "status"), [(1, TrialStatus.INTERRUPTED), (2, TrialStatus.FINISHED)], ids=["other", "done"]
)
def test_another_extension_or_one_after_the_end_adds_more(
    begun: MakeLedger,
    workspace: Path,
    operated: Operated,
    console: Console,
    n_seeds: int,
    status: TrialStatus,
) -> None:
    made = begun()
    made.say(StudyExtended, request="one", n_trials=None, n_seeds=2)
    made.say(SessionClosed, status=status, message="")
    extend(workspace, "try", console, None, n_seeds)
    ((_, request),) = read_requests(made.folder)
    assert request["n_seeds"] == n_seeds


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """A process that takes every request up at once."""
    requests = []
    monkeypatch.setattr(
        "adapert.workspace.resume.write_request",
        lambda _, kind, **said: requests.append({"kind": kind} | said),
    )
    return requests


def test_the_process_that_runs_a_study_takes_more_up_itself(
    begun: MakeLedger, workspace: Path, operated: Operated, console: Console, taken: list[object]
) -> None:
    made = begun()
    with held(made.folder):
        assert extend(workspace, "try", console, None, 2) is None
    assert taken == [{"kind": "extend", "n_trials": None, "n_seeds": 2}]
    assert operated == []


def test_an_extension_that_is_typed_again_while_it_runs_adds_nothing_unless_that_is_meant(
    begun: MakeLedger,
    workspace: Path,
    operated: Operated,
    console: Console,
    taken: list[object],
    caplog: pytest.LogCaptureFixture,
) -> None:
    made = begun()
    made.say(StudyExtended, request="one", n_trials=None, n_seeds=2)
    with held(made.folder):
        assert extend(workspace, "try", console, None, 2) is None
        assert taken == []
        assert "nothing is added twice. To add as many once more, give --again" in caplog.text
        assert extend(workspace, "try", console, None, 2, is_again=True) is None
    assert taken == [{"kind": "extend", "n_trials": None, "n_seeds": 2}]
    assert operated == []


def test_an_extension_that_waits_is_not_asked_for_twice(
    begun: MakeLedger, workspace: Path, operated: Operated, console: Console, taken: list[object]
) -> None:
    made = begun()
    write_request(made.folder, "extend", n_trials=None, n_seeds=2)
    with held(made.folder):
        assert extend(workspace, "try", console, None, 2) is None
    assert taken == []


# stop


def test_a_study_that_nobody_runs_is_not_stopped(begun: MakeLedger, workspace: Path) -> None:
    made = begun()
    with pytest.raises(InputError, match=r"none runs 'try'\. See 'adapert status try'"):
        stop(workspace, "try", None)
    assert not has_requests(made.folder)


@pytest.mark.parametrize("trial", ["001", "009"])
def test_a_trial_that_does_not_run_is_not_stopped(begun: MakeLedger, workspace: Path, trial: str) -> None:
    made = begun()
    for known in ("001", "002", "003"):
        made.asked(known)
    made.ended("001")
    with (
        held(made.folder),
        pytest.raises(InputError, match=rf"but '{trial}' of 'try' does not\. Running are '002', '003'"),
    ):
        stop(workspace, "try", trial)
    assert not has_requests(made.folder)


@pytest.mark.parametrize("trial", [None, "001"])
def test_the_process_that_runs_a_study_is_asked_to_stop(
    begun: MakeLedger, workspace: Path, taken: list[object], trial: str | None
) -> None:
    made = begun()
    made.asked("001")
    with held(made.folder):
        stop(workspace, "try", trial)
    assert taken == [{"kind": "stop", "trial": trial}]


def test_a_process_that_does_not_answer_is_told(
    begun: MakeLedger, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapert.workspace.resume.TAKEN_SECONDS", 0.0)
    made = begun()
    with held(made.folder), pytest.raises(InputError, match="it will when it can"):
        stop(workspace, "try", None)
    assert has_requests(made.folder)


# sync


@pytest.fixture
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapert.tracking.tracker.RETRY_SECONDS", (0.001, 0.01))
    monkeypatch.setattr("adapert.tracking.tracker.PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(Tracker.close, "__defaults__", (0.05,))


def test_a_killed_study_s_runs_are_delivered_and_ended(
    begun: MakeLedger, workspace: Path, no_patience: None
) -> None:
    made = begun()
    made.asked("001")
    made.reported("001", 1, 0.5)
    assert sync(workspace, "try") == (0, "")
    client, experiment = open_store(workspace)
    assert [run.info.status for run in client.search_runs([experiment])] == ["KILLED", "KILLED"]
    assert present(made.state.closed).status == TrialStatus.INTERRUPTED
    assert count_waiting(made.folder, made.events) == 0


def test_the_time_since_a_study_was_killed_is_not_its_cost(
    begun: MakeLedger, workspace: Path, no_patience: None
) -> None:
    made = begun()
    made.asked("001")
    made.reported("001", 1, 0.5)
    before = made.state
    sync(workspace, "try")
    assert made.state.seconds == before.seconds == 3
    assert made.state.trial_hours == before.trial_hours


def test_an_ended_study_has_no_line_added(begun: MakeLedger, workspace: Path, no_patience: None) -> None:
    made = begun()
    made.asked("001")
    made.ended("001", TrialStatus.FAILED, EndReason.ERROR, "no")
    made.closed(TrialStatus.FAILED)
    n_seen = len(made.events)
    for _ in range(2):
        assert sync(workspace, "try") == (0, "")
    assert len([event for event in made.events if not isinstance(event, RunTracked)]) == n_seen


def test_a_store_that_still_is_not_there_leaves_the_lines_waiting(
    begun: MakeLedger, workspace: Path, no_patience: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = begun()

    def refuse(_: Path) -> NoReturn:
        raise ConnectionError("refused")

    with monkeypatch.context() as store:
        store.setattr("adapert.workspace.resume.open_store", refuse)
        assert sync(workspace, "try") == (3, "ConnectionError: refused")
    assert count_waiting(made.folder, made.events) == 3
    assert sync(workspace, "try") == (0, "")


def test_a_running_study_delivers_by_itself(begun: MakeLedger, workspace: Path) -> None:
    made = begun()
    with held(made.folder), pytest.raises(InputError, match="One process at a time"):
        sync(workspace, "try")


def finished(begun: MakeLedger) -> HandMade:
    made = begun(name="try")
    made.asked("001")
    made.reported("001", 1, 0.5)
    made.ended("001")
    made.closed()
    return made


def test_a_store_of_which_nothing_is_left_is_filled_again(
    begun: MakeLedger, workspace: Path, no_patience: None
) -> None:
    made = finished(begun)
    sync(workspace, "try")
    (workspace / DATABASE).unlink()
    shutil.rmtree(workspace / ARTIFACTS)
    assert sync(workspace, "try") == (0, "")
    runs = runs_in(workspace)
    assert sorted(run.info.status for run in runs) == ["FINISHED", "FINISHED"]
    assert {run.info.run_id for run in runs} == set(made.state.run_ids.values())
    lines = len(made.events)
    assert sync(workspace, "try") == (0, "")
    assert (len(runs_in(workspace)), len(made.events)) == (2, lines)


def test_a_store_that_was_lost_and_is_away_is_not_said_to_have_all(
    begun: MakeLedger, workspace: Path, no_patience: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished(begun)
    sync(workspace, "try")

    def refuse(_: Path) -> NoReturn:
        raise ConnectionError

    monkeypatch.setattr("adapert.workspace.resume.open_store", refuse)
    n_waiting, reason = sync(workspace, "try")
    assert n_waiting >= 1
    assert "ConnectionError" in reason


def write_evaluation(workspace: Path, name: str, record: dict[str, dict[str, Any]]) -> None:
    folder = workspace / "evaluations" / name
    folder.mkdir(parents=True)
    for file in EVALUATION_FILES:
        (folder / file).write_text(file)
    (folder / "evaluation.json").write_text(json.dumps(record))


@pytest.mark.parametrize(
    ("opened", "is_of_study"),
    [
        ({"split": "test", "study": "try", "number": 2}, True),
        ({"split": "validation"}, True),
        ({"split": "test", "study": "other", "number": 1}, False),
        ({"split": "test", "study": "", "number": 1}, False),
    ],
)
def test_an_evaluation_that_was_killed_before_mlflow_had_it_is_delivered(
    begun: MakeLedger, workspace: Path, no_patience: None, opened: dict[str, Any], is_of_study: bool
) -> None:
    made = finished(begun)
    write_evaluation(workspace, "test_001", {"opened": opened, "config": made.study.base.flat()})
    assert sync(workspace, "try") == (0, "")
    (study,) = [run for run in runs_in(workspace) if run.data.tags[Tag.KIND] == "study"]
    client, _ = open_store(workspace)
    kept = client.list_artifacts(study.info.run_id, "evaluation/test_001")
    assert len(kept) == (3 if is_of_study else 0)
    n_accesses = str(opened["number"]) if is_of_study and "number" in opened else None
    assert study.data.tags.get(Tag.TEST_OPENINGS) == n_accesses


@pytest.mark.parametrize("text", ["", "[]", '{"opened": 1}', '{"opened": {}, "config": {"no": 1}}'])
def test_an_evaluation_that_is_damaged_is_left_out(
    begun: MakeLedger, workspace: Path, no_patience: None, text: str
) -> None:
    finished(begun)
    write_evaluation(workspace, "test_001", {})
    (workspace / "evaluations" / "test_001" / "evaluation.json").write_text(text)
    assert sync(workspace, "try") == (0, "")


def show(made: HandMade) -> None:
    """What was drawn of a study, and how its config was picked, in its folder."""
    figures = [made.folder.parents[1] / "figures" / f"history{suffix}" for suffix in (".png", ".pdf")]
    for path in figures:
        path.parent.mkdir(exist_ok=True)
        path.write_text("drawn")
    copy_figures(made.folder, figures)
    copy_report(made.folder, "<html>")
    write_pick(made.folder, PickRecord("pds", "try_reevaluation"))


def shown_in(workspace: Path) -> tuple[dict[str, int], str | None]:
    """What the store shows of a study's own run."""
    client, _ = open_store(workspace)
    (run,) = [run for run in runs_in(workspace) if run.data.tags[Tag.KIND] == "study"]
    kept = [file for name in ("figures", "report") for file in client.list_artifacts(run.info.run_id, name)]
    return {file.path: file.file_size for file in kept}, run.data.tags.get(Tag.PICKED_BY)


SHOWN = {"figures/history.png": 5, "report/report.html": 6}, "pds try_reevaluation"


@pytest.mark.parametrize("is_lost", [False, True])
def test_figures_report_and_pick_are_delivered_again(
    begun: MakeLedger, workspace: Path, no_patience: None, is_lost: bool
) -> None:
    made = finished(begun)
    show(made)
    sync(workspace, "try")
    if is_lost:
        (workspace / DATABASE).unlink()
        shutil.rmtree(workspace / ARTIFACTS)
        shutil.rmtree(workspace / "figures")
    assert sync(workspace, "try") == (0, "")
    assert shown_in(workspace) == SHOWN
    lines = len(made.events)
    assert sync(workspace, "try") == (0, "")
    assert (shown_in(workspace), len(made.events)) == (SHOWN, lines)


def test_a_report_that_was_written_again_since_replaces_the_one_that_was_delivered(
    begun: MakeLedger, workspace: Path, no_patience: None
) -> None:
    made = finished(begun)
    show(made)
    sync(workspace, "try")
    copy_report(made.folder, "<html>more")
    sync(workspace, "try")
    assert shown_in(workspace)[0]["report/report.html"] == len("<html>more")


@pytest.mark.parametrize("text", ["", "[]", '{"objective": "pds"}'])
def test_a_damaged_record_of_a_pick_keeps_nothing_back(
    begun: MakeLedger, workspace: Path, no_patience: None, text: str
) -> None:
    made = finished(begun)
    (made.folder / PICK_FILE).write_text(text)
    assert sync(workspace, "try") == (0, "")
    assert shown_in(workspace) == ({}, None)


def test_a_study_that_lies_elsewhere_gets_no_folder_for_what_is_drawn_of_it(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("drawn")
    copy_figures(tmp_path / "try", [tmp_path / "a.png"])
    copy_report(tmp_path / "try", "<html>")
    assert not (tmp_path / "try").exists()
