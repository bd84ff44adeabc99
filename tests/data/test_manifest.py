import json
from pathlib import Path
from typing import Any

import pytest

from adapert.data.choices import PrepareChoices
from adapert.data.manifest import InputFile, Manifest, check_fingerprint, read_manifest
from adapert.errors import InputError


def test_a_manifest_is_read_as_it_was_written(tmp_path: Path) -> None:
    manifest = Manifest(
        kind="responses",
        fingerprint="00ff",
        split_seed=3,
        choices=PrepareChoices(kind="responses", units="Δ", where=("line=a",)),
        guessed={"perturbation_column": "gene"},
        networks=("string", "go"),
        embeddings=("text", "rpe1"),
        inputs={"cells": InputFile("a.h5ad", "12")},
        counts={"genes": 4},
    )
    manifest.write(tmp_path)
    assert read_manifest(tmp_path) == manifest
    written = json.loads((tmp_path / "manifest.json").read_text())
    assert list(written) == [
        *("format_version", "kind", "fingerprint", "split_seed", "choices", "guessed"),
        *("networks", "embeddings", "inputs", "counts", "labels", "families", "coverage", "versions"),
    ]


def test_folder_without_a_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no manifest\.json"):
        read_manifest(tmp_path)


def test_another_data_set_than_is_needed_is_refused(tmp_path: Path) -> None:
    check_fingerprint(tmp_path, "00ff", "00ff", "The trial", "Name it.")
    with pytest.raises(InputError, match=r"The trial needs .* fingerprint 00ff, but '.*' has 0001\. Name it"):
        check_fingerprint(tmp_path, "0001", "00ff", "The trial", "Name it.")


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"fingerprint": "../../x"}, "fingerprint"),
        ({"fingerprint": 5}, "fingerprint"),
        ({"kind": "bulk"}, "kind"),
        ({"split_seed": "0"}, "split_seed"),
        ({"choices": []}, "choices"),
        ({"choices": {"min_batch_controls": -1}}, "choices.min_batch_controls"),
        ({"choices": {"deg_test": "t"}}, "choices.deg_test"),
        ({"inputs": {"cells": {}}}, "inputs.cells.file"),
        ({"counts": {"genes": -1}}, "counts.genes"),
    ],
)
def test_a_manifest_of_other_types_is_refused(prepared: Path, changes: dict[str, Any], where: str) -> None:
    file = prepared / "manifest.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    with pytest.raises(InputError, match=rf"manifest\.json' is damaged: {where}: "):
        read_manifest(prepared)


def test_a_manifest_of_choices_that_prepare_refuses_is_refused(prepared: Path) -> None:
    file = prepared / "manifest.json"
    changes = {"choices": {"split_fractions": [0.5, 0.5, 0.5]}}
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    with pytest.raises(
        InputError, match=r"is damaged: choices: --split-fractions .* are 0\.5 0\.5 0\.5\. Run"
    ):
        read_manifest(prepared)


def test_a_manifest_that_is_nested_too_deeply_is_refused(prepared: Path) -> None:
    (prepared / "manifest.json").write_text("[" * 100_000)
    with pytest.raises(InputError, match=r"manifest\.json' is damaged"):
        read_manifest(prepared)


@pytest.mark.parametrize("version", [1, 2, 3])
def test_folder_of_an_earlier_version_is_refused_with_the_cure(prepared: Path, version: int) -> None:
    # Before version 2 a gene could be in two splits, spelt in two ways; version 2 had one network,
    # and version 3 no families.
    manifest = prepared / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"format_version": version}))
    with pytest.raises(
        InputError,
        match=rf"must have format version 4, but .* has {version}\. Run 'adapert prepare' again",
    ):
        read_manifest(prepared)
