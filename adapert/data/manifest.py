"""What a prepared data set was made of: the manifest in its folder."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeInt, TypeAdapter, ValidationError

from adapert.data.choices import PrepareChoices
from adapert.data.formats.array_folder import DamagedError
from adapert.data.schema import FamilySource
from adapert.data.sources import EMBEDDINGS, NETWORKS
from adapert.errors import InputError
from adapert.files import parse_json

FORMAT_VERSION = 4
"""Version of the folder. In version 1 a gene could be in two splits, under two spellings; version 2 had one
network, one source of embeddings, and did not say which genes are perturbed; version 3 knew no families."""

MANIFEST_FILE = "manifest.json"

EMBEDDED_IN = "embedded:"
"""Before the name of a source of embeddings, names the number of genes in its file among the counts."""

MEDIAN_COUNTS = "median_counts"
"""Names the counts of a median cell among the counts; values that were logged already have none."""


@dataclass(frozen=True)
class InputFile:
    """A file that a data set was prepared from: its name and its content's checksum."""

    file: str
    hash: str


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a prepared data set was made of, in the order in which the file has it.

    Attributes:
        format_version: Version of the folder.
        kind: What it was prepared from.
        fingerprint: Identity of the inputs' contents and of every choice; names folders too.
        split_seed: Seed of the split; below zero, the negative of a redraw's (`adapert.data.regroup`).
        choices: How it was prepared, with the columns and layers that were guessed.
        guessed: Columns and layers that were guessed, by choice.
        networks: Names of the networks, the first first.
        embeddings: Names of the sources of embeddings, the first first.
        inputs: Files it was made of, by role: ``network``, and ``network:go`` for another one.
        counts: Numbers of cells, perturbations, genes, edges, ...; of each split's perturbations.
        labels: How labels were understood: `adapert.data.labels.understood.Understood.record`.
        families: What families of perturbations were found by: the network, responses or gene sets.
        coverage: Genes and perturbations that each network and source of embeddings knows.
        versions: Packages that took part in the numbers.
    """

    format_version: int = FORMAT_VERSION
    kind: Literal["cells", "responses"]
    fingerprint: Annotated[str, Field(pattern=r"^\w{1,64}$")]
    split_seed: int
    choices: PrepareChoices = field(default_factory=PrepareChoices)
    guessed: Mapping[str, str] = field(default_factory=dict)
    networks: tuple[str, ...] = (NETWORKS.default,)
    embeddings: tuple[str, ...] = (EMBEDDINGS.default,)
    inputs: Mapping[str, InputFile] = field(default_factory=dict)
    counts: Mapping[str, NonNegativeInt] = field(default_factory=dict)
    labels: Mapping[str, Any] = field(default_factory=dict)
    families: FamilySource = "network"
    coverage: Mapping[str, NonNegativeInt] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write it into the data set's folder."""
        (folder / MANIFEST_FILE).write_text(json.dumps(asdict(self), indent=2), encoding="utf-8")


_MANIFEST = TypeAdapter(Manifest)


def read_manifest(path: Path) -> Manifest:
    """Read the manifest of a prepared data set.

    Raises:
        InputError: `path` is no prepared data set, a damaged one, or one of another format version.
    """
    file = path / MANIFEST_FILE
    if not file.is_file():
        lacks = f"'{path}' has no {MANIFEST_FILE}" if path.exists() else f"there is no '{path}'"
        raise InputError(
            f"A prepared data set must be a directory made by 'adapert prepare', but {lacks}. Name another, "
            "or put it back."
        )
    text = file.read_bytes()
    try:
        content: Any = parse_json(text)
    except ValueError as error:
        raise DamagedError(file, "is damaged") from error
    if not isinstance(content, dict) or not {"fingerprint", "format_version"} <= content.keys():
        raise DamagedError(file, "is damaged")
    # Before anything else is looked at: fields may have other names in another version.
    if content["format_version"] != FORMAT_VERSION:
        raise InputError(
            f"A prepared data set must have format version {FORMAT_VERSION}, but '{path}' has "
            f"{str(content['format_version'])[:20]}. Run 'adapert prepare' again."
        )
    try:
        return _MANIFEST.validate_json(text, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "it"
        # A choice that `PrepareChoices` refuses comes as its sentence, which ends by itself.
        fault = first["msg"].removeprefix("Value error, ").rstrip(".")
        raise DamagedError(file, f"is damaged: {where}: {fault}") from error


def check_fingerprint(path: Path, found: str, expected: str, owner: str, cure: str) -> None:
    """Refuse a data set that is not the one its `owner` was made on, such as ``"The trial"``.

    Raises:
        InputError: The two differ.
    """
    if found != expected:
        raise InputError(
            f"{owner} needs the data set of fingerprint {expected}, but '{path}' has {found}. {cure}"
        )
