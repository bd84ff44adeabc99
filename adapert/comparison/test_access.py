"""The ledger of a workspace's accesses to the test split: when, of which study, by which config and code.

A test split is worth something as long as nothing was chosen by it, so each look is counted, and a second one
for the same study has to be meant. A line is on the disk before any test number is computed: an access
counts also where what follows fails.

An evaluation that was interrupted, killed or failed, is remembered next to the ledger until the same one has
been completed: it resumes under the access that was counted.
"""

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pydantic import TypeAdapter

from adapert.config.config import ADDED_LATER
from adapert.errors import InputError, join_words
from adapert.files import append_line, open_lines, parse_json, write_whole

ACCESS_FILE = "test_openings.jsonl"
LOCK_FILE = ".test_openings.lock"

NO_STUDY = ""
"""The study of a config that no study of the workspace has tried."""


@dataclass(frozen=True, kw_only=True)
class Access:
    """One look at the test split.

    Attributes:
        at: UTC, ISO 8601.
        study: Study that tried the config; `NO_STUDY` where none did.
        config_digest: Digest of the config.
        config: All settings, flat.
        git_commit: Commit of the code.
        data_fingerprint: Fingerprint of the data set.
        models: Names of the scored models.
        n_seeds: Seeds of each model that has chance.
        refit: What the scored models had learned from: ``"train"`` or ``"train+validation"``.
        folder: Folder of the results, as seen from the workspace; where it is empty, the ledger names the
            next free one.
        use_ensembles: Whether the seeds' mean predictions were scored too.
        emission: How cells were made from predictions.
        emitted: Files that they were written to; empty where none were.
        files: Of each file of predictions its name, checksum and form.
        others: Of each further config of the same access its label, study, config_digest and config.
        trained_on: Fingerprint of the data that models were trained on, where they are not the opened ones.
        on: Directory of the opened data, where models were trained on others.
    """

    at: str
    study: str
    config_digest: str
    config: Mapping[str, Any]
    git_commit: str
    data_fingerprint: str
    models: Sequence[str]
    n_seeds: int
    refit: str
    folder: str = ""
    use_ensembles: bool = False
    emission: str = ""
    emitted: Sequence[str] = field(default_factory=list)
    files: Sequence[Mapping[str, str]] = field(default_factory=list)
    others: Sequence[Mapping[str, Any]] = field(default_factory=list)
    trained_on: str = ""
    on: str = ""

    @property
    def studies(self) -> list[str]:
        """Studies that tried the configs, each once; `NO_STUDY` among them where one was tried by none."""
        return list(dict.fromkeys([self.study, *(str(other["study"]) for other in self.others)]))


@dataclass(frozen=True)
class RecordedAccess:
    """An access in the ledger.

    Attributes:
        access: As it was written.
        numbers: Of each study of the access its number, from 1, among the study's to these data; without a
            study among all of the data set.
        data_number: Its number among all of the data set.
    """

    access: Access
    numbers: Mapping[str, int]
    data_number: int

    @property
    def number(self) -> int:
        """Its number for the study that has most."""
        return max(self.numbers.values())

    def describe(self) -> str:
        """Say the count in a sentence."""
        split = f"data {self.access.data_fingerprint}" if self.access.trained_on else "these data"
        if self.access.studies == [NO_STUDY]:
            return f"This is access {self.number} to the test split of {split} (no study)."
        others = (
            f", and access {self.data_number} to that of these data" if self.data_number > self.number else ""
        )
        named = {study: number for study, number in self.numbers.items() if study != NO_STUDY}
        if self.access.trained_on:
            by = join_words([f"access {number} by study {study}" for study, number in named.items()])
            in_all = f", and access {self.data_number} in all" if others else ""
            return f"This is {by} to the test split of {split}{in_all}."
        of_each = join_words(
            [f"access {number} to the test split of study {study}" for study, number in named.items()]
        )
        return f"This is {of_each}{others}."


def read_accesses(workspace: Path) -> list[Access]:
    """Read the ledger, oldest access first; empty where there is none.

    Raises:
        InputError: A line that is damaged; a torn last one counts as never written.
    """
    path = workspace / ACCESS_FILE
    *lines, _torn = path.read_bytes().split(b"\n") if path.is_file() else [b""]
    accesses = []
    for number, line in enumerate(lines, start=1):
        try:
            # A later version may say more, an earlier one less.
            accesses.append(TypeAdapter(Access).validate_python(parse_json(line)))
        except ValueError as error:
            raise InputError(
                f"Each line of '{path}' must be an access to the test split in JSON, but line {number} is "
                "not. Put back a copy of the file."
            ) from error
    return accesses


def check_first_access(workspace: Path, study: str, data_fingerprint: str) -> None:
    """Refuse a second look at a test split, before any work for it.

    Args:
        workspace: Folder with the ledger, or without one.
        study: `NO_STUDY` where no study tried the config: any access to the data set's test split then
            counts, since what was seen of it may have led to the config.
        data_fingerprint: Fingerprint of the data set.

    Raises:
        InputError: The test split was opened before.
    """
    _refuse(earlier_accesses(read_accesses(workspace), study, data_fingerprint), study)


def earlier_accesses(accesses: Sequence[Access], study: str, data_fingerprint: str) -> list[Access]:
    """Choose the accesses to a data set that count for a study; without one, all of them."""
    of_data = [access for access in accesses if access.data_fingerprint == data_fingerprint]
    return of_data if study == NO_STUDY else [access for access in of_data if study in access.studies]


def record_access(workspace: Path, access: Access, again: bool = False) -> RecordedAccess:
    """Write an access, and wait until it is on the disk; processes that open at once take turns.

    The workspace is made where it is missing; `again` allows an access after an earlier one.

    Returns:
        The access as written, with its folder, and its numbers.

    Raises:
        InputError: The test split was opened before, and not `again`.
        OSError: The disk takes no more.
    """
    workspace.mkdir(parents=True, exist_ok=True)
    with FileLock(workspace / LOCK_FILE):
        accesses = read_accesses(workspace)
        for study in () if again else access.studies:
            _refuse(earlier_accesses(accesses, study, access.data_fingerprint), study)
        # Under the lock, so that two evaluations cannot get the same folder.
        folder = access.folder or str(next_folder(workspace, "test", {one.folder for one in accesses}))
        recorded = replace(access, folder=folder)
        with open_lines(workspace / ACCESS_FILE) as file:
            append_line(file, json.dumps(asdict(recorded)))
    return _number([*accesses, recorded])


@contextmanager
def opened(workspace: Path, access: Access, again: bool = False) -> Iterator[RecordedAccess]:
    """Record an access for the block, or resume one that was interrupted; arguments as in `record_access`.

    Raises:
        InputError: As `record_access`, or another process makes the very same evaluation.
        OSError: The disk takes no more.
    """
    workspace.mkdir(parents=True, exist_ok=True)
    mark = _mark_of(workspace, access)
    # A lock of this evaluation: others may record theirs while it runs.
    lock = FileLock(mark.with_suffix(".lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise InputError(
            "A config's test split is opened by one process at a time, but another one makes this very "
            "evaluation now. Wait for it: its results will be in the workspace's 'evaluations', or in --out."
        ) from error
    try:
        recorded = find_interrupted(workspace, access)
        if recorded is None:
            # Before the ledger has the line, so that no kill comes between.
            write_whole(mark, json.dumps({"n_before": len(read_accesses(workspace))}))
            try:
                recorded = record_access(workspace, access, again)
            except InputError:
                mark.unlink()
                raise
        yield recorded
        mark.unlink()
        Path(lock.lock_file).unlink(missing_ok=True)
    finally:
        lock.release()


def find_interrupted(workspace: Path, access: Access) -> RecordedAccess | None:
    """Find the recorded access of the same evaluation, if that was interrupted.

    It had the same config, code, data and options, at another time.

    Raises:
        InputError: A damaged ledger.
    """
    try:
        n_before = int(parse_json(_mark_of(workspace, access).read_text(encoding="utf-8"))["n_before"])
    except (OSError, ValueError, TypeError, KeyError):
        return None
    accesses = read_accesses(workspace)
    for end in range(len(accesses), n_before, -1):
        recorded = accesses[end - 1]
        # The ledger named the folder of an access that had none.
        is_same = _identify(access) == _identify(replace(recorded, folder=access.folder))
        if is_same and access.folder in ("", recorded.folder):
            return _number(accesses[:end])
    return None


def _mark_of(workspace: Path, access: Access) -> Path:
    """Name the file that remembers an evaluation until it has ended."""
    digest = hashlib.blake2b(_identify(access).encode(), digest_size=8).hexdigest()
    return workspace / f".test_opening_{digest}.json"


def _identify(access: Access) -> str:
    # Wherever the data lie now: their fingerprint says which they are.
    changed = {
        "at": "",
        "on": "",
        "config": _without_place(access.config),
        "others": [{**other, "config": _without_place(other["config"])} for other in access.others],
    }
    return json.dumps(asdict(access) | changed, sort_keys=True)


def _without_place(config: Mapping[str, Any]) -> dict[str, Any]:
    """Describe a config wherever its data lie, and whichever of its fields there were when it was written."""
    return {name: value for name, value in (ADDED_LATER | dict(config)).items() if name != "data.path"}


def _number(accesses: Sequence[Access]) -> RecordedAccess:
    """Count the last access of a ledger among those before it."""
    *before, last = accesses
    numbers = {
        study: len(earlier_accesses(before, study, last.data_fingerprint)) + 1 for study in last.studies
    }
    of_data = earlier_accesses(before, NO_STUDY, last.data_fingerprint)
    return RecordedAccess(last, numbers, len(of_data) + 1)


def next_folder(workspace: Path, split: str, taken: Collection[str] = ()) -> Path:
    """Name the next free folder for results on a split, as seen from the workspace.

    Args:
        workspace: Its ``evaluations`` are numbered by split.
        split: Split of the results.
        taken: Folders that are reserved, though they may not exist.
    """
    numbered = (Path("evaluations") / f"{split}_{number:03d}" for number in count(1))
    return next(path for path in numbered if str(path) not in taken and not (workspace / path).exists())


def _refuse(earlier: Sequence[Access], study: str) -> None:
    if not earlier:
        return
    first = earlier[0]
    data = f"data {first.data_fingerprint}"
    source = f"study '{study}'" if study else f"{data} (no study tried this config)"
    if study and first.trained_on:
        source = f"{data}, by study '{study}',"
    since = f", and {len(earlier) - 1} more times since" if len(earlier) > 1 else ""
    raise InputError(
        f"The test split is opened once per study, but that of {source} was opened at {first.at} with config "
        f"{first.config_digest}{since}. Give --again to open it all the same, which is counted, or --split "
        "validation."
    )
