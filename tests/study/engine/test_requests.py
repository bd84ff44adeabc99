import os
from pathlib import Path
from typing import Any

import pytest

from adapert.study.engine import requests
from adapert.study.engine.requests import REQUESTS_FOLDER, has_requests, read_requests, write_request


def age(folder: Path, seconds_by_trial: dict[str, int]) -> None:
    for file in (folder / REQUESTS_FOLDER).iterdir():
        for trial, seconds in seconds_by_trial.items():
            if f'"{trial}"' in file.read_text():
                os.utime(file, (seconds, seconds))


def said(folder: Path) -> list[dict[str, Any]]:
    return [request for _, request in read_requests(folder)]


def test_a_request_waits_until_its_file_is_removed(tmp_path: Path) -> None:
    write_request(tmp_path, "extend", n_trials=3, n_seeds=None)
    assert has_requests(tmp_path)
    assert said(tmp_path) == said(tmp_path) == [{"kind": "extend", "n_trials": 3, "n_seeds": None}]
    for file, _ in read_requests(tmp_path):
        file.unlink()
    assert not has_requests(tmp_path)


def test_requests_are_read_oldest_first(tmp_path: Path) -> None:
    for trial in ("001", "002", "003"):
        write_request(tmp_path, "stop", trial=trial)
    age(tmp_path, {"001": 30, "002": 10, "003": 20})
    assert [request["trial"] for request in said(tmp_path)] == ["002", "003", "001"]


def test_a_study_without_requests_has_none(tmp_path: Path) -> None:
    assert read_requests(tmp_path) == []
    assert not has_requests(tmp_path)


@pytest.mark.parametrize("text", ["", '{"kind": "st'])
def test_a_request_that_is_still_being_written_is_not_taken(tmp_path: Path, text: str) -> None:
    write_request(tmp_path, "stop", trial=None)
    (tmp_path / REQUESTS_FOLDER / ".abc.def.json").write_text(text)
    assert said(tmp_path) == [{"kind": "stop", "trial": None}]


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"kind": "dance"}', '{"kind": "stop"}', '{"kind": "extend", "n_trials": -1}'],
)
def test_a_file_that_is_no_request_is_set_aside_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    write_request(tmp_path, "stop", trial=None)
    foreign = tmp_path / REQUESTS_FOLDER / "foreign.json"
    foreign.write_text(text)
    assert said(tmp_path) == [{"kind": "stop", "trial": None}]
    assert foreign.with_suffix(".unreadable").read_text() == text
    assert "foreign.json' is not. The study continues" in caplog.text
    assert len(read_requests(tmp_path)) == 1


def test_a_request_that_is_taken_up_while_others_are_read_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_request(tmp_path, "stop", trial="001")
    waiting = [tmp_path / REQUESTS_FOLDER / "gone.json", *(tmp_path / REQUESTS_FOLDER).iterdir()]
    monkeypatch.setattr(requests, "_waiting", lambda folder: waiting)
    assert [request["trial"] for request in said(tmp_path)] == ["001"]
