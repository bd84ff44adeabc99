"""The ledger of test accesses: its counts are honest whatever happens."""

import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NoReturn

import pytest
from fixtures.accesses import build_access
from fixtures.narrowed import present

from adapert.comparison.test_access import (
    ACCESS_FILE,
    Access,
    check_first_access,
    find_interrupted,
    next_folder,
    opened,
    read_accesses,
    record_access,
)
from adapert.config.config import ADDED_LATER
from adapert.errors import InputError


def access_of(
    study: str = "search", data: str = "data_a", digest: str = "c1", at: str = "2026-01-01T00:00:00+00:00"
) -> Access:
    return build_access(at=at, study=study, config_digest=digest, data_fingerprint=data)


def test_an_access_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    recorded = record_access(tmp_path, access_of())
    assert read_accesses(tmp_path) == [recorded.access]
    assert recorded.access == replace(access_of(), folder="evaluations/test_001")
    (line,) = (tmp_path / ACCESS_FILE).read_text().splitlines()
    assert json.loads(line) == asdict(recorded.access)


def test_a_workspace_without_a_ledger_has_no_accesses_and_none_is_made(tmp_path: Path) -> None:
    assert read_accesses(tmp_path / "none") == []
    check_first_access(tmp_path / "none", "search", "data_a")
    assert list(tmp_path.iterdir()) == []


def test_a_second_access_of_a_study_is_refused_whatever_its_config(tmp_path: Path) -> None:
    record_access(tmp_path, access_of())
    says = r"study 'search' was opened at 2026-01-01T00:00:00\+00:00 with config c1\. Give --again"
    with pytest.raises(InputError, match=says):
        check_first_access(tmp_path, "search", "data_a")
    with pytest.raises(InputError, match=says):
        record_access(tmp_path, access_of(digest="c2"))
    assert len(read_accesses(tmp_path)) == 1


def test_again_opens_and_counts(tmp_path: Path) -> None:
    record_access(tmp_path, access_of())
    again = record_access(tmp_path, access_of(digest="c2"), again=True)
    assert (again.number, again.data_number) == (2, 2)
    assert again.describe() == "This is access 2 to the test split of study search."
    with pytest.raises(InputError, match="with config c1, and 1 more times since"):
        check_first_access(tmp_path, "search", "data_a")


def test_another_study_opens_anew_but_is_told_that_the_data_were_seen(tmp_path: Path) -> None:
    record_access(tmp_path, access_of("search"))
    other = record_access(tmp_path, access_of("ablation"))
    assert (other.number, other.data_number) == (1, 2)
    assert other.describe().endswith("study ablation, and access 2 to that of these data.")


def test_a_config_of_no_study_is_refused_after_any_access_of_its_data(tmp_path: Path) -> None:
    record_access(tmp_path, access_of("search"))
    with pytest.raises(InputError, match=r"that of data data_a \(no study tried this config\) was opened"):
        check_first_access(tmp_path, "", "data_a")
    check_first_access(tmp_path, "", "data_b")
    recorded = record_access(tmp_path, access_of("", data="data_b"))
    assert recorded.describe() == "This is access 1 to the test split of these data (no study)."


def test_an_access_to_other_data_is_counted_apart_from_the_study_s_own(tmp_path: Path) -> None:
    transfer = replace(access_of(data="data_b"), trained_on="data_a", on="b")
    said = record_access(tmp_path, transfer).describe()
    assert said == "This is access 1 by study search to the test split of data data_b."
    assert (
        record_access(tmp_path, access_of()).describe()
        == "This is access 1 to the test split of study search."
    )
    with pytest.raises(InputError, match=r"that of data data_b, by study 'search', was opened"):
        check_first_access(tmp_path, "search", "data_b")
    with pytest.raises(InputError, match=r"that of data data_b \(no study tried this config\) was opened"):
        check_first_access(tmp_path, "", "data_b")
    again = record_access(tmp_path, replace(transfer, study="ablation"))
    assert again.describe().endswith(
        "by study ablation to the test split of data data_b, and access 2 in all."
    )
    own = record_access(tmp_path, access_of("of_b", data="data_b"))
    assert own.describe().endswith("study of_b, and access 3 to that of these data.")


def test_a_transfer_resumes_wherever_the_opened_data_lie_now(tmp_path: Path) -> None:
    transfer = replace(access_of(data="data_b"), trained_on="data_a", on="there")
    with pytest.raises(RuntimeError, match="killed"), opened(tmp_path, transfer):
        raise RuntimeError("killed")
    assert find_interrupted(tmp_path, replace(transfer, on="here")) is not None
    assert find_interrupted(tmp_path, replace(transfer, trained_on="data_c")) is None


def test_a_torn_line_counts_as_never_written_and_is_cut_off(tmp_path: Path) -> None:
    record_access(tmp_path, access_of("one"))
    with (tmp_path / ACCESS_FILE).open("a") as file:
        file.write('{"at": "2026-')
    assert [access.study for access in read_accesses(tmp_path)] == ["one"]
    record_access(tmp_path, access_of("two"))
    assert [access.study for access in read_accesses(tmp_path)] == ["one", "two"]


@pytest.mark.parametrize("line", ["no json", "[]", '{"at": "now"}', "[" * 100_000, "null", "\xff"])
def test_a_damaged_line_is_refused_rather_than_not_counted(tmp_path: Path, line: str) -> None:
    (tmp_path / ACCESS_FILE).write_text(f"{line}\n")
    with pytest.raises(InputError, match="line 1 is not"):
        read_accesses(tmp_path)


def test_what_a_later_version_says_more_is_no_damage(tmp_path: Path) -> None:
    said = asdict(replace(access_of(), folder="x")) | {"mood": "calm"}
    (tmp_path / ACCESS_FILE).write_text(json.dumps(said) + "\n")
    assert read_accesses(tmp_path)[0].folder == "x"


def test_what_an_earlier_version_did_not_say_is_no_damage(tmp_path: Path) -> None:
    said = asdict(access_of())
    del said["use_ensembles"]
    (tmp_path / ACCESS_FILE).write_text(json.dumps(said) + "\n")
    assert read_accesses(tmp_path) == [access_of()]


def test_folders_are_numbered_by_split_and_never_promised_twice(tmp_path: Path) -> None:
    assert str(next_folder(tmp_path, "test")) == "evaluations/test_001"
    first = record_access(tmp_path, access_of())  # which crashes before it writes the folder
    second = record_access(tmp_path, access_of(), again=True)
    assert (first.access.folder, second.access.folder) == ("evaluations/test_001", "evaluations/test_002")
    (tmp_path / "evaluations" / "validation_001").mkdir(parents=True)
    assert next_folder(tmp_path, "validation").name == "validation_002"


def test_of_processes_that_open_at_once_one_is_first_and_the_others_are_refused(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path\n"
        "from adapert.comparison.test_access import Access, record_access\n"
        "fields = dict(config_digest='c', config={}, git_commit='', data_fingerprint='d', models=[])\n"
        "access = Access(at='now', study='search', n_seeds=1, refit='train', **fields)\n"
        "sys.stdin.readline()\n"
        "print(record_access(Path(sys.argv[1]), access).number)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    pipes: dict[str, Any] = {
        "stdin": subprocess.PIPE,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.DEVNULL,
        "text": True,
    }
    racing = [subprocess.Popen(command, **pipes) for _ in range(3)]
    for process in racing:
        present(process.stdin).write("go\n")
        present(process.stdin).flush()
    said = sorted(process.communicate()[0] for process in racing)
    assert said == ["", "", "1\n"]
    assert len(read_accesses(tmp_path)) == 1


def test_nothing_is_opened_where_the_ledger_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> NoReturn:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("adapert.files.os.fdatasync", full)
    with pytest.raises(OSError, match="No space left on device") as error:
        record_access(tmp_path, access_of())
    assert error.value.filename == str(tmp_path / ACCESS_FILE)
    assert read_accesses(tmp_path) == []


@pytest.mark.parametrize("changes", [{"study": 5}, {"models": None}, {"config": []}, {"n_seeds": "many"}])
def test_an_access_of_other_types_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    said = asdict(access_of()) | changes
    (tmp_path / ACCESS_FILE).write_text(json.dumps(said) + "\n")
    with pytest.raises(InputError, match="line 1 is not"):
        read_accesses(tmp_path)


def test_an_access_whose_block_failed_goes_on_at_another_time_and_counts_once(tmp_path: Path) -> None:
    record_access(tmp_path, access_of("other"))
    for _ in range(2):
        with pytest.raises(RuntimeError, match="power cut"), opened(tmp_path, access_of()) as left:
            raise RuntimeError("power cut")
    with opened(tmp_path, access_of(at="2026-01-02T00:00:00+00:00")) as went_on:
        assert went_on == left
    assert (went_on.number, went_on.data_number) == (1, 2)
    assert len(read_accesses(tmp_path)) == 2
    with pytest.raises(InputError, match="was opened at"), opened(tmp_path, access_of()):
        pass
    assert [path.name for path in tmp_path.glob(".test_opening_*.json")] == []


def test_an_access_by_another_config_is_refused_although_the_first_was_left(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="power cut"), opened(tmp_path, access_of()):
        raise RuntimeError("power cut")
    with pytest.raises(InputError, match="was opened at"), opened(tmp_path, access_of(digest="c2")):
        pass
    with opened(tmp_path, access_of()) as went_on:
        assert went_on.number == 1


def test_the_second_meant_access_that_failed_goes_on_too(tmp_path: Path) -> None:
    with opened(tmp_path, access_of()):
        pass
    with pytest.raises(RuntimeError, match="power cut"), opened(tmp_path, access_of(), again=True):
        raise RuntimeError("power cut")
    with opened(tmp_path, access_of(), again=True) as went_on:
        assert (went_on.number, went_on.access.folder) == (2, "evaluations/test_002")
    assert len(read_accesses(tmp_path)) == 2


def test_the_same_evaluation_is_made_by_one_process_at_a_time(tmp_path: Path) -> None:
    refused = pytest.raises(InputError, match="another one makes this very evaluation now")
    with opened(tmp_path, access_of()), refused, opened(tmp_path, access_of(), again=True):
        pass
    assert len(read_accesses(tmp_path)) == 1


def test_an_evaluation_goes_on_where_its_data_were_moved_meanwhile(tmp_path: Path) -> None:
    first = build_access(config={"data.path": "/old/prepared", "model.tau": 0.5})
    with pytest.raises(RuntimeError, match="killed"), opened(tmp_path, first):
        raise RuntimeError("killed")
    moved = replace(first, config={"data.path": "/new/prepared", "model.tau": 0.5})
    assert find_interrupted(tmp_path, moved) is not None
    assert find_interrupted(tmp_path, replace(first, config={"model.tau": 0.6})) is None


def test_an_evaluation_goes_on_where_configs_have_more_fields_meanwhile(tmp_path: Path) -> None:
    first = build_access(config={"model.tau": 0.5})
    with pytest.raises(RuntimeError, match="killed"), opened(tmp_path, first):
        raise RuntimeError("killed")
    assert find_interrupted(tmp_path, replace(first, config={"model.tau": 0.5} | ADDED_LATER)) is not None
    other = {"model.tau": 0.5, "training.deterministic": True}
    assert find_interrupted(tmp_path, replace(first, config=other)) is None


def test_one_access_for_several_configs_counts_for_each_of_their_studies(tmp_path: Path) -> None:
    record_access(tmp_path, access_of("b"))
    other = {"label": "b", "study": "b", "config_digest": "c2", "config": {"data.path": "here"}}
    both = replace(access_of("a"), others=[other])
    with pytest.raises(InputError, match="study 'b' was opened"):
        record_access(tmp_path, both)
    recorded = record_access(tmp_path, both, again=True)
    assert dict(recorded.numbers) == {"a": 1, "b": 2}
    assert recorded.describe() == (
        "This is access 1 to the test split of study a and access 2 to the test split of study b."
    )
    three = replace(recorded, numbers={"a": 1, "b": 2, "c": 1})
    assert three.describe().startswith(
        "This is access 1 to the test split of study a, access 2 to the test split of study b and access 1 to"
    )
    for study in ("a", "b"):
        with pytest.raises(InputError, match=f"study '{study}' was opened"):
            check_first_access(tmp_path, study, "data_a")
    assert read_accesses(tmp_path)[1] == recorded.access


def test_an_interrupted_access_of_several_configs_is_found_wherever_the_data_lie(tmp_path: Path) -> None:
    def at(place: str) -> Access:
        other = {"label": "b", "study": "b", "config_digest": "c2", "config": {"data.path": place}}
        return replace(access_of("a"), config={"data.path": place}, others=[other])

    with pytest.raises(OSError, match="full"), opened(tmp_path, at("here")):
        raise OSError("full")
    assert present(find_interrupted(tmp_path, at("there"))).access.config == {"data.path": "here"}
    assert find_interrupted(tmp_path, replace(at("here"), others=[])) is None
