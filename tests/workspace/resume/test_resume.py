import re
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from fixtures.edited import Copy
from fixtures.ledger import HandMade, MakeLedger
from fixtures.resumed import RESUMED, SEARCH, Operated, other_code
from rich.console import Console

from adapert.commands import in_workspace
from adapert.errors import InputError
from adapert.study.engine.events import ChangesAccepted
from adapert.study.engine.folders import find_study, study_names
from adapert.study.engine.ledger import held
from adapert.study.engine.limits import Limits
from adapert.study.engine.requests import has_requests
from adapert.study.execution.resources import Resources
from adapert.study.plan.definition import describe_origin
from adapert.workspace.resume import extend, resume

# which study


def test_an_unknown_study_is_answered_with_the_nearest(begun: MakeLedger, workspace: Path) -> None:
    begun(name="search_wide")
    begun(name="ablation")
    assert study_names(workspace) == ["ablation", "search_wide"]
    with pytest.raises(
        InputError,
        match=r"no study 'serch_wide' .*Did you mean 'search_wide'\? Launch one",
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
    named = re.escape(in_workspace(workspace, "try"))
    with (
        held(made.folder),
        pytest.raises(
            InputError, match=rf"run by process \d+ on .* 'adapert watch {named}', .* stop {named}'"
        ),
    ):
        resume(workspace, "try", console, {}, {})


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


@pytest.mark.slow
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
    named = re.escape(in_workspace(workspace, "try"))
    with pytest.raises(InputError, match=rf"first accept .* 'adapert resume {named} --accept-changes'"):
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
