import io
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import NoReturn

import pytest
from rich.console import Console

from adapert.doctor.examine import CHECKS, Check, examine
from adapert.doctor.findings import Finding, State, build_table, has_problem
from adapert.errors import InputError


def assert_found(finding: Finding, state: str, *parts: str) -> None:
    missing = [part for part in parts if part not in finding.sentence]
    assert (finding.state, missing) == (state, []), finding.sentence


def execute(database: Path, statement: str) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(statement)


def test_a_check_that_raises_is_a_problem_and_the_rest_still_run(tmp_path: Path) -> None:
    def refuse(data: Path | None, workspace: Path) -> NoReturn:
        raise InputError("A workspace must be blue, but it is red. Paint it.")

    def fail(data: Path | None, workspace: Path) -> NoReturn:
        raise KeyError("a\nb")

    def be_denied(data: Path | None, workspace: Path) -> NoReturn:
        raise PermissionError(13, "Permission denied", "/secret")

    found = examine(
        None,
        tmp_path,
        {
            "colour": refuse,
            "code": fail,
            "file": be_denied,
            "last": lambda data, workspace: Finding(State.OK, "fine"),
        },
    )
    assert [finding.state for finding in found.values()] == ["problem", "problem", "problem", "ok"]
    assert found["colour"].sentence == "A workspace must be blue, but it is red. Paint it."
    assert_found(found["code"], "problem", "KeyError")
    assert_found(found["file"], "problem", "'/secret'", "Permission denied")


def assert_each_has_a_line(found: dict[str, Finding], workspace: Path, checks: Mapping[str, Check]) -> None:
    assert list(found) == list(checks)
    assert {
        subject: finding.sentence for subject, finding in found.items() if finding.state == "problem"
    } == {}
    assert not workspace.exists()


def test_every_check_has_a_line_under_its_subject_and_leaves_nothing_behind(
    tmp_path: Path, prepared: Path
) -> None:
    checks = {subject: check for subject, check in CHECKS.items() if subject != "Ray"}
    found = examine(prepared, tmp_path / "runs", checks)
    assert_each_has_a_line(found, tmp_path / "runs", checks)


@pytest.mark.slow
def test_every_check_has_a_line_and_ray_runs_a_task(tmp_path: Path, prepared: Path) -> None:
    import ray

    found = examine(prepared, tmp_path / "runs")
    assert_each_has_a_line(found, tmp_path / "runs", CHECKS)
    ray_finding = found["Ray"]
    assert_found(ray_finding, "ok", "started in", "first task in")
    assert not ray.is_initialized()


def test_only_a_problem_would_stop_a_study() -> None:
    ok, warning = Finding(State.OK, ""), Finding(State.WARNING, "")
    assert not has_problem([ok, warning])
    assert has_problem([ok, Finding(State.PROBLEM, "")])


def test_the_table_shows_brackets_as_they_are() -> None:
    file = io.StringIO()
    Console(width=100, file=file).print(
        build_table({"packages": Finding(State.PROBLEM, "Run: python -m pip install 'ray[tune]'")})
    )
    words = file.getvalue().split(maxsplit=2)
    assert [word.strip() for word in words] == [
        "packages",
        "problem",
        "Run: python -m pip install 'ray[tune]'",
    ]
