"""A bundle as MLflow serves it: named by this module in the logged model, so no pickled code is ever run."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from packaging.version import Version

from adapert.config import packaged_models, read_config
from adapert.errors import InputError
from adapert.plugins import find_plugins
from adapert.prediction.bundle import CONFIG_FILE, Bundle, read_bundle
from adapert.prediction.genes import check_perturbations
from adapert.tracking.provenance import find_versions

if TYPE_CHECKING:
    from mlflow.models.model import Model

INPUT_COLUMN = "perturbation"

OUTPUT_COLUMNS = ("perturbation", "gene", "predicted_delta")

SERVED_PACKAGES = ("adapert", "mlflow", "torch", "numpy", "scipy", "pandas", "safetensors")
"""Packages that a server of any model needs."""

FURTHER_PACKAGES: dict[str, tuple[str, ...]] = {"txpert": ("torch-geometric",)}
"""Packages that a server of a model needs beside those."""

BUNDLE_NAME = "bundle"


class ServedModel:
    """What `mlflow.pyfunc.load_model` wraps."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle

    def predict(self, model_input: pd.DataFrame, params: Any = None) -> pd.DataFrame:
        """Predict deltas, in the bundle's units.

        Args:
            model_input: A column ``perturbation`` of genes, or genes joined by ``+``.
            params: MLflow's; the model takes none.

        Returns:
            `OUTPUT_COLUMNS`, one row per perturbation and gene: with a column per gene, the signature would
            differ between data sets.

        Raises:
            InputError: No such column, or perturbations that the model cannot predict.
        """
        from adapert.prediction.predictions import predict_deltas  # needs torch, which a kept model does not

        if INPUT_COLUMN not in model_input:
            raise InputError(
                f"The model's input needs a column '{INPUT_COLUMN}', but it has "
                f"{', '.join(map(str, model_input.columns)) or 'none'}."
            )
        asked = check_perturbations(map(str, model_input[INPUT_COLUMN]), self.bundle.shared.node_names)
        long = predict_deltas(self.bundle, asked).stack(future_stack=True).reset_index()
        return long.set_axis(list(OUTPUT_COLUMNS), axis="columns")


def _load_pyfunc(path: str) -> ServedModel:
    """Load the model, as MLflow's pyfunc flavour calls it."""
    return ServedModel(read_bundle(Path(path)))


def save_served(bundle: Path, example: Sequence[str], path: Path, described: "Model") -> None:
    """Write an MLflow model around a bundle's folder, named `BUNDLE_NAME`, and complete its description."""
    import mlflow.pyfunc
    from mlflow.models import ModelSignature
    from mlflow.types.schema import ColSpec, Schema

    inputs = Schema([ColSpec("string", INPUT_COLUMN)])
    types = ("string", "string", "float")
    outputs = Schema([ColSpec(kind, name) for kind, name in zip(types, OUTPUT_COLUMNS, strict=True)])
    mlflow.pyfunc.save_model(
        path=str(path),
        loader_module=__name__,
        data_path=str(bundle),
        mlflow_model=described,
        signature=ModelSignature(inputs=inputs, outputs=outputs),
        input_example=pd.DataFrame({INPUT_COLUMN: list(example)}),
        # Given, so that MLflow neither guesses them nor asks an index for them.
        pip_requirements=requirements(read_config(bundle / CONFIG_FILE).model.name),
    )


def requirements(model: str) -> list[str]:
    """Pin what a server of a model needs, without the local parts of versions such as 2.13.0+cpu."""
    packages = (*SERVED_PACKAGES, *FURTHER_PACKAGES.get(model, ()), *_package_of(model))
    return [f"{package}=={Version(found).public}" for package, found in find_versions(packages).items()]


def _package_of(model: str) -> tuple[str, ...]:
    """Name the installed package that brings a model; none for the project's own."""
    found = find_plugins()[model].dist if model in packaged_models() else None
    return (found.name,) if found else ()
