"""All that a trained network needs to predict, in one folder: config, weights, network, text, controls.

Nothing of any split is in it, so it can be given to others without the experiment.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from adapert.config import Config, read_config, write_config
from adapert.data.array_tables import CellTable, SharedTable
from adapert.data.formats.array_folder import DamagedError
from adapert.data.manifest import Manifest
from adapert.data.prepared import PreparedDataset
from adapert.data.units import LOG1P_UNITS
from adapert.errors import InputError, name_some
from adapert.files import parse_json, whole_directory

if TYPE_CHECKING:
    from adapert.models.network import Network

# Torch takes seconds to import, and keeping a model does not need it: only prediction imports it.

FORMAT = 3
"""Version of a bundle's folder; any other is refused."""

BUNDLE_FILE, CONFIG_FILE, SHARED_FOLDER = "bundle.json", "config.yaml", "shared"

Weights = dict[str, npt.NDArray[Any]]
"""Name of a tensor to its values."""


@dataclass(frozen=True)
class Member:
    """One trained trial.

    Attributes:
        run: Name of the trial: ``"search/007"``.
        seed: The trial's seed.
        weights: The model's state after its best epoch.
    """

    run: str
    seed: int
    weights: Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Bundle:
    """Trained trials of one config; several seeds predict their mean.

    Attributes:
        config: Config that all members share.
        shared: Genes, controls, network and text of the data set that they were trained on.
        members: At least one.
        units: Units of deltas.
    """

    config: Config
    shared: SharedTable
    members: Sequence[Member]
    units: str = LOG1P_UNITS

    @cached_property
    def dataset(self) -> PreparedDataset:
        """The data set as far as a trained model needs it: without cells and splits."""
        return PreparedDataset(
            manifest=Manifest(kind="cells", fingerprint=self.config.data.fingerprint, split_seed=0),
            shared=self.shared,
            control_cells=CellTable.empty(),
            splits={},
        )

    @cached_property
    def models(self) -> "list[Network]":
        """The members' models.

        Raises:
            InputError: Weights that do not fit config and data.
        """
        return [self._restore(member) for member in self.members]

    def _restore(self, member: Member) -> "Network":
        import torch

        from adapert.models.network import restore_network
        from adapert.models.networks import network_parts

        try:
            weights = {name: torch.tensor(values) for name, values in member.weights.items()}
            parts = network_parts(self.config.model.name)
            model = restore_network(parts, self.dataset, self.config, member.seed, weights)
        except (RuntimeError, TypeError) as error:  # torch names every entry that does not fit
            raise _of_another(member) from error
        state = model.state_dict()
        # torch would turn numbers of another type into its own.
        if any(state[name].dtype != tensor.dtype for name, tensor in weights.items()):
            raise _of_another(member)
        return model


def write_bundle(bundle: Bundle, path: Path) -> None:
    """Write a bundle as a directory, whole or not at all.

    Raises:
        InputError: `path` exists.
    """
    with whole_directory(path) as beside:
        # A bundle is shared with others, whom a path of this machine does not concern.
        write_config(bundle.config.with_changes({"data.path": ""}), beside / CONFIG_FILE)
        # Predictions start from the mean over all controls, not from those of a batch.
        shared, no_control = bundle.shared, bundle.shared.batch_control_mean[:0]
        replace(shared, batches=shared.batches[:0], batch_control_mean=no_control).write(
            beside / SHARED_FOLDER
        )
        for number, member in enumerate(bundle.members):
            save_file(dict(member.weights), beside / _weights_file(number))
        members = [{"run": member.run, "seed": member.seed} for member in bundle.members]
        described = {"format": FORMAT, "members": members, "units": bundle.units}
        (beside / BUNDLE_FILE).write_text(json.dumps(described, indent=2), encoding="utf-8")


def read_bundle(path: Path) -> Bundle:
    """Read a bundle.

    Raises:
        InputError: No bundle, a damaged one, or one of another format.
    """
    described = _read_description(path)
    try:
        # Copied, since what is served may outlive the folder that it came in.
        shared = SharedTable.read(path / SHARED_FOLDER, is_mapped=False)
    except DamagedError as error:
        raise _unsound(error.found) from error
    members = [
        Member(entry.run, entry.seed, read_weights(path / _weights_file(number)))
        for number, entry in enumerate(described.members)
    ]
    config = read_config(path / CONFIG_FILE)
    if not config.has_weights:
        raise _unsound(f"its {CONFIG_FILE} names the model '{config.model.name}', which has no weights")
    return Bundle(config, shared, members, described.units)


def read_weights(path: Path) -> Weights:
    """Read the weights of a trained model, as `adapert.training.checkpoints.write_weights` wrote them.

    Raises:
        InputError: A file that is missing or damaged, or numbers that are not finite.
    """
    try:
        weights: Weights = load_file(path)
    # A type that numpy has not is a KeyError or AttributeError, a size beyond any memory a ValueError.
    except (SafetensorError, OSError, ValueError, KeyError, AttributeError, TypeError, MemoryError) as error:
        raise _bad_weights(path, "is missing or damaged") from error
    if bad := [name for name, values in weights.items() if not np.isfinite(values).all()]:
        raise _bad_weights(path, f"has NaN or infinite values in {name_some(bad)}")
    return weights


def _bad_weights(path: Path, fault: str) -> InputError:
    return InputError(
        f"Weights must be whole and belong to the config's model, but '{path}' {fault}. Copy the file again, "
        "or run the trial again."
    )


class _Entry(BaseModel):
    run: str = Field(max_length=1000)
    seed: int = Field(ge=0, lt=2**63)


class _Description(BaseModel):
    format: int
    units: str = Field(max_length=1000)
    members: list[_Entry] = Field(min_length=1, max_length=1000)


def _read_description(path: Path) -> _Description:
    file = path / BUNDLE_FILE
    try:
        content = parse_json(file.read_bytes())
        found = content["format"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _unsound(f"'{file}' is missing or damaged") from error
    if found != FORMAT:
        raise InputError(
            f"A model's folder must have format {FORMAT}, but '{path}' has {str(found)[:20]}. Run "
            "'adapert pick' again."
        )
    try:
        return _Description.model_validate(content, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        raise _unsound(f"'{file}' has {'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def _unsound(found: str) -> InputError:
    return InputError(f"A model's folder must be whole, but {found}. Run 'adapert pick' again.")


def _of_another(member: Member) -> InputError:
    return InputError(
        f"Weights must belong to the model that the config describes, but those of trial '{member.run}' do "
        "not fit it. Use the version of adapert that trained it, or run the trial again."
    )


def _weights_file(number: int) -> str:
    return f"weights_{number}.safetensors"
