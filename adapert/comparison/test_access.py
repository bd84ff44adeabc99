"""The ledger of a workspace's openings of the test split: when, of which study, by which config and code.

A test split is worth something as long as nothing was chosen by it, so each look is counted, and a second one
for the same study has to be meant. A line is on the disk before any test number is computed: an opening
counts also where what follows fails.

An evaluation that was left before its end, killed or failed, is remembered beside the ledger until the same
one has been made: it goes on under the opening that is counted already.
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

from adapert.errors import InputError
from adapert.files import append_line, open_lines, parse_json, write_whole

OPENINGS_FILE = "test_openings.jsonl"
LOCK_FILE = ".test_openings.lock"

NO_STUDY = ""
"""The study of a config that no study of the workspace has tried."""


@dataclass(frozen=True, kw_only=True)
class Opening:
    """One look at the test split.

    Attributes:
        at: UTC, ISO 8601.
        study: Whose config it was; `NO_STUDY` where no study tried it.
        config_digest: Of the config.
        config: Whole, flat.
        git_commit: Of the code.
        data_fingerprint: Of the data set.
        models: That were scored.
        n_seeds: Of each model that has chance.
        refit: What the scored models had learned from: ``"train"`` or ``"train+validation"``.
        folder: Of the results, as seen from the workspace; where it is empty, the ledger names the next free.
        use_ensembles: Whether the seeds' mean predictions were scored too.
        emission: How cells were made from predictions.
        emitted: Files that they were written to; empty where none were.
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


@dataclass(frozen=True)
class RecordedOpening:
    """An opening in the ledger.

    Attributes:
        opening: As it was written.
        number: Its number, from 1, among the study's; without a study among all of the data set.
        data_number: Its number among all of the data set.
    """

    opening: Opening
    number: int
    data_number: int

    def describe(self) -> str:
        """Say the count in a sentence."""
        if self.opening.study == NO_STUDY:
            return f"This is opening {self.number} of the test split of these data (no study)."
        others = f", and opening {self.data_number} of these data" if self.data_number > self.number else ""
        return f"This is opening {self.number} of the test split of study {self.opening.study}{others}."


def read_openings(workspace: Path) -> list[Opening]:
    """Read the ledger, oldest opening first; empty where there is none.

    Raises:
        InputError: A line that is damaged; a torn last one counts as never written.
    """
    path = workspace / OPENINGS_FILE
    *lines, _torn = path.read_bytes().split(b"\n") if path.is_file() else [b""]
    return [_parse(line, number, path) for number, line in enumerate(lines, start=1)]


def check_unopened(workspace: Path, study: str, data_fingerprint: str) -> None:
    """Refuse a second look at a test split, before any work for it.

    Args:
        workspace: With the ledger, or without one.
        study: `NO_STUDY` where no study tried the config: any opening of the data set then counts, since
            what was seen of it may have led to the config.
        data_fingerprint: Of the data set.

    Raises:
        InputError: The test split was opened before.
    """
    _refuse(earlier_openings(read_openings(workspace), study, data_fingerprint), study)


def earlier_openings(openings: Sequence[Opening], study: str, data_fingerprint: str) -> list[Opening]:
    """Choose the openings that count for a study, or, without one, for a data set."""
    if study == NO_STUDY:
        return [opening for opening in openings if opening.data_fingerprint == data_fingerprint]
    return [opening for opening in openings if opening.study == study]


def record_opening(workspace: Path, opening: Opening, again: bool = False) -> RecordedOpening:
    """Write an opening, and wait until it is on the disk; processes that open at once take turns.

    Args:
        workspace: Made where it is missing.
        opening: What is about to be opened.
        again: Whether an earlier opening is no objection.

    Returns:
        The opening as written, with its folder, and its numbers.

    Raises:
        InputError: The test split was opened before, and not `again`.
        OSError: The disk takes no more.
    """
    workspace.mkdir(parents=True, exist_ok=True)
    with FileLock(workspace / LOCK_FILE):
        openings = read_openings(workspace)
        earlier = earlier_openings(openings, opening.study, opening.data_fingerprint)
        if not again:
            _refuse(earlier, opening.study)
        folder = opening.folder or str(next_folder(workspace, "test", {one.folder for one in openings}))
        recorded = replace(opening, folder=folder)
        with open_lines(workspace / OPENINGS_FILE) as file:
            append_line(file, json.dumps(asdict(recorded)))
    return _number([*openings, recorded])


@contextmanager
def opened(workspace: Path, opening: Opening, again: bool = False) -> Iterator[RecordedOpening]:
    """Record an opening and look in the block, or go on where the block of the same opening was left.

    Args:
        workspace: Made where it is missing.
        opening: What is about to be opened.
        again: Whether an earlier opening is no objection.

    Raises:
        InputError: As `record_opening`, or another process makes the very same evaluation.
        OSError: The disk takes no more.
    """
    workspace.mkdir(parents=True, exist_ok=True)
    mark = _mark_of(workspace, opening)
    lock = FileLock(mark.with_suffix(".lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise InputError(
            "A config's test split is opened by one process at a time, but another one makes this very "
            "evaluation now. Wait for it: its results will be in the workspace's 'evaluations', or in --out."
        ) from error
    try:
        recorded = find_left(workspace, opening)
        if recorded is None:
            # Before the ledger has the line, so that no kill comes between.
            write_whole(mark, json.dumps({"n_before": len(read_openings(workspace))}))
            try:
                recorded = record_opening(workspace, opening, again)
            except InputError:
                mark.unlink()
                raise
        yield recorded
        mark.unlink()
        Path(lock.lock_file).unlink(missing_ok=True)
    finally:
        lock.release()


def find_left(workspace: Path, opening: Opening) -> RecordedOpening | None:
    """Find the recorded opening of the same evaluation, if that was left before its end.

    Args:
        workspace: With the ledger, or without one.
        opening: What is about to be opened; at another time, with the same config, code, data and options.

    Raises:
        InputError: A damaged ledger.
    """
    try:
        n_before = int(parse_json(_mark_of(workspace, opening).read_text(encoding="utf-8"))["n_before"])
    except (OSError, ValueError, TypeError, KeyError):
        return None
    openings = read_openings(workspace)
    same = [place for place in range(n_before, len(openings)) if _is_same(openings[place], opening)]
    return _number(openings[: same[-1] + 1]) if same else None


def _mark_of(workspace: Path, opening: Opening) -> Path:
    """Name the file that remembers an evaluation until it has ended."""
    digest = hashlib.blake2b(_identify(opening).encode(), digest_size=8).hexdigest()
    return workspace / f".test_opening_{digest}.json"


def _identify(opening: Opening) -> str:
    # Wherever the data lie now: their fingerprint says which they are.
    config = {name: value for name, value in opening.config.items() if name != "data.path"}
    return json.dumps(asdict(opening) | {"at": "", "config": config}, sort_keys=True)


def _is_same(recorded: Opening, opening: Opening) -> bool:
    """Whether an opening is the one that was recorded, its folder named by the ledger or not."""
    return _identify(opening) == _identify(replace(recorded, folder=opening.folder)) and (
        opening.folder in ("", recorded.folder)
    )


def _number(openings: Sequence[Opening]) -> RecordedOpening:
    """Count the last opening of a ledger among those before it."""
    *before, last = openings
    of_study = earlier_openings(before, last.study, last.data_fingerprint)
    of_data = earlier_openings(before, NO_STUDY, last.data_fingerprint)
    return RecordedOpening(last, len(of_study) + 1, len(of_data) + 1)


def next_folder(workspace: Path, split: str, taken: Collection[str] = ()) -> Path:
    """Name the next free folder for results on a split, as seen from the workspace.

    Args:
        workspace: Its ``evaluations`` are numbered by split.
        split: Whose results.
        taken: Folders that are promised, though they may not exist.
    """
    numbered = (Path("evaluations") / f"{split}_{number:03d}" for number in count(1))
    return next(path for path in numbered if str(path) not in taken and not (workspace / path).exists())


def _refuse(earlier: Sequence[Opening], study: str) -> None:
    if not earlier:
        return
    first = earlier[0]
    whose = f"study '{study}'" if study else f"data {first.data_fingerprint} (no study tried this config)"
    since = f", and {len(earlier) - 1} more times since" if len(earlier) > 1 else ""
    raise InputError(
        f"The test split is opened once a study, but that of {whose} was opened at {first.at} with config "
        f"{first.config_digest}{since}. Give --again to open it all the same, which is counted, or --split "
        "validation."
    )


def _parse(line: bytes, number: int, path: Path) -> Opening:
    try:
        # A later version may say more, an earlier one less.
        return TypeAdapter(Opening).validate_python(parse_json(line))
    except ValueError as error:
        raise InputError(
            f"Each line of '{path}' must be an opening of the test split in JSON, but line {number} is not. "
            "Put back a copy of the file."
        ) from error
