"""The complete settings of one trial, and what can be asked of them."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from pydantic import ValidationError, create_model

from adapert.config.names import (
    OF_CELLS,
    OF_FURTHER_EMBEDDINGS,
    SEVERAL_NETWORK_LAYERS,
    WITH_NETWORK,
    WITHOUT_EMBEDDINGS,
    is_network,
    model_names,
    packaged_models,
    read_sections,
)
from adapert.config.parsing import shorten
from adapert.config.sections import (
    INCOMPATIBLE,
    AppConfig,
    CpaConfig,
    DataConfig,
    GearsConfig,
    GraphConfig,
    KernelRidgeConfig,
    LossConfig,
    ModelConfig,
    MorphConfig,
    PerturbedVaeConfig,
    ScviConfig,
    Section,
    StateConfig,
    TrainingConfig,
    TxPertConfig,
)
from adapert.errors import InputError, name_some, nearest, number_kind
from adapert.html import build_card, build_details, build_sentences, build_table, build_values
from adapert.plugins import load_plugin

ADDED_LATER: dict[str, Any] = {"training.deterministic": False}
"""Fields that digests written before know nothing of, and their defaults, which digests leave out."""

NO_FOLDING = 1_000_000
"""Columns of a line of YAML: a value is never cut in two."""


class Config(Section):
    """All settings of one trial but its seed."""

    data: DataConfig = DataConfig()
    graph: GraphConfig = GraphConfig()
    model: ModelConfig = ModelConfig()
    loss: LossConfig = LossConfig()
    training: TrainingConfig = TrainingConfig()
    kernel_ridge: KernelRidgeConfig = KernelRidgeConfig()
    txpert: TxPertConfig = TxPertConfig()
    app: AppConfig = AppConfig()
    gears: GearsConfig = GearsConfig()
    perturbed_vae: PerturbedVaeConfig = PerturbedVaeConfig()
    scvi: ScviConfig = ScviConfig()
    cpa: CpaConfig = CpaConfig()
    state: StateConfig = StateConfig()
    morph: MorphConfig = MorphConfig()

    def flat(self) -> dict[str, Any]:
        """List every setting under its dotted name, such as ``"loss.lambda_non"``."""
        return {
            f"{section}.{field}": value
            for section, fields in self.model_dump().items()
            for field, value in fields.items()
        }

    def settings(self) -> dict[str, Any]:
        """List what the named model reads: its sections, the data, and its name."""
        sections = ("data", *read_sections(self.model.name))
        return {
            name: value
            for name, value in self.flat().items()
            if name == "model.name" or name.partition(".")[0] in sections
        }

    @property
    def has_weights(self) -> bool:
        """Whether a fit of the model leaves weights to predict with; any other model is fitted again."""
        return is_network(self.model.name)

    @property
    def reads_embeddings(self) -> bool:
        """Whether the model reads embeddings of genes, with these settings."""
        model = self.model.name
        if model in packaged_models():
            return load_plugin(model).reads_embeddings
        is_used = {
            "app": self.app.node_features in ("text", "both"),
            "perturbed_vae": self.perturbed_vae.effects == "linear",
            "scvi": self.scvi.unseen == "text",
            "cpa": self.cpa.unseen == "text",
        }
        return model not in WITHOUT_EMBEDDINGS and is_used.get(model, True)

    @property
    def picks_several_embeddings(self) -> bool:
        """Whether ``data.embeddings`` names more than one source."""
        return "+" in self.data.embeddings

    @property
    def reads_edges(self) -> bool:
        """Whether the model reads edges between genes, with these settings."""
        is_used = {
            "adapert": self.model.n_graph_layers > 0
            or self.model.context == "neighbourhood"
            or bool({"spectral", "diffused"} & set(self.model.feature_parts)),
            "txpert": self.txpert.n_layers > 0,
            "app": self.app.n_layers > 0,
            "gears": self.gears.n_network_layers > 0,
            "perturbed_vae": self.perturbed_vae.effects == "linear",
        }
        name = self.model.name
        return name in WITH_NETWORK or ("graph" in read_sections(name) and is_used.get(name, True))

    @property
    def reads_training_cells(self) -> bool:
        """Whether training reads single cells, where the data set has them, and not only their means."""
        is_of_cells = self.model.name in {"gears", *OF_CELLS}
        return self.data.control == "cell" or is_of_cells or self.rows in ("auto", "cells")

    @property
    def rows(self) -> str:
        """The named model's setting of ``rows``; empty where it has none."""
        rows = {"perturbed_vae": self.perturbed_vae.rows, "morph": self.morph.rows}
        return rows.get(self.model.name, "")

    @property
    def reads_several_networks(self) -> bool:
        """Whether the model reads several networks at once."""
        model = self.model.name
        if model in packaged_models():
            return load_plugin(model).reads_several_networks
        return model == "txpert" and self.txpert.layer in SEVERAL_NETWORK_LAYERS

    def with_changes(self, changes: Mapping[str, Any]) -> "Config":
        """Apply dotted changes all at once.

        Raises:
            InputError: A field that does not exist, or a value it does not take.
        """
        model = changes.get("model.name", self.model.name)
        # The section of a package's model is there only where that model is named.
        known = config_class(model)().flat()
        for name in changes:
            if name not in known:
                raise InputError(f"Config has no field '{name}'.{nearest(name, known)}")
        kept = {name: value for name, value in self.flat().items() if name in known}
        return build_config(kept | dict(changes))

    def digest(self) -> str:
        """Identify what the model reads: 12 hexadecimal digits, the same wherever the data are."""
        # The fingerprint stands for the data: they may move, and the config stays the same.
        settings = {
            name: value
            for name, value in self.settings().items()
            if name != "data.path" and (name, value) not in ADDED_LATER.items()
        }
        return hashlib.blake2b(json.dumps(settings, sort_keys=True).encode(), digest_size=6).hexdigest()

    def _repr_html_(self) -> str:
        """Show a notebook the fields that are not at their defaults, and the others on demand."""
        values, defaults = self.settings(), type(self)().flat()
        changed = {name: value for name, value in values.items() if value != defaults[name]}
        others = {name: value for name, value in values.items() if name not in changed}
        said = f"{len(changed)} of {len(values)} fields that it reads are not at their defaults."
        rows = [(name, value, defaults[name]) for name, value in changed.items()]
        return build_card(
            f"Config of {self.model.name}, {self.digest()}",
            build_sentences([said]),
            build_table(("field", "value", "default"), rows, len(rows)) if rows else "",
            build_details("Fields at their defaults", build_values(others)),
        )

    def to_yaml(self) -> str:
        """Write what the model reads as YAML, as `read_config` takes it."""
        import yaml

        # Several times as fast by libyaml, which PyYAML may lack. The two fold long lines differently.
        dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
        return str(yaml.dump(_nest(self.settings()), Dumper=dumper, sort_keys=False, width=NO_FOLDING))


@cache
def config_class(model: object) -> type[Config]:
    """The class of a model's configs: `Config`, with one section more for the model of another package.

    Raises:
        InputError: The model's package cannot be imported.
    """
    if model not in packaged_models():
        return Config
    section = load_plugin(str(model)).section
    return create_model("Config", __base__=Config, **{str(model): (section, section())})  # type: ignore[call-overload, no-any-return]


def check_read(changed: Iterable[str], *configs: Config) -> None:
    """Refuse to vary what no model reads: its trials would all be the same.

    Args:
        changed: Dotted fields that exist.
        *configs: With the models that the fields are tried with.

    Raises:
        InputError: None of the models reads a field.
    """
    read = dict.fromkeys(name for config in configs for name in config.settings())
    for name in changed:
        if name not in read:
            models = list(dict.fromkeys(config.model.name for config in configs))
            is_one = len(models) == 1
            sections = ", ".join(
                dict.fromkeys(each.partition(".")[0] for each in read if each != "model.name")
            )
            raise InputError(
                f"A study varies what its model reads, but {name_some(models)} "
                f"{'does' if is_one else 'do'} not read '{name}': {'it reads' if is_one else 'they read'} "
                f"{sections}. Launch a study of these, or set model.name to {_readers(name)}."
            )
        if name in OF_FURTHER_EMBEDDINGS and not any(config.picks_several_embeddings for config in configs):
            raise InputError(
                f"A study varies what its model reads, but '{name}' is of the sources of embeddings after "
                f"the first, and data.embeddings '{configs[0].data.embeddings}' picks no second. Name "
                "several, such as data.embeddings=text+rpe1."
            )


def _readers(field: str) -> str:
    """Models that read a field: one, or "one or another"."""
    section = field.partition(".")[0]
    return " or ".join(model for model in model_names() if section in read_sections(model))


def build_config(flat: Mapping[str, Any]) -> Config:
    """Build a config from dotted names; what is not named keeps its default.

    Raises:
        InputError: A field that does not exist, or a value it does not take.
    """
    return validate(_nest(flat))


def _nest(flat: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    nested: dict[str, dict[str, Any]] = {}
    for name, value in flat.items():
        section, _, field = name.partition(".")
        nested.setdefault(section, {})[field] = value
    return nested


def validate(nested: Mapping[str, Any]) -> Config:
    """Build a config from sections of fields; what is absent keeps its default.

    Raises:
        InputError: A field that does not exist, or a value it does not take.
    """
    model = nested.get("model", {}).get("name", "")
    kind = config_class(model if isinstance(model, str) else "")
    try:
        return kind.model_validate(nested)
    except ValidationError as error:
        first = error.errors()[0]
        name = shorten(".".join(str(part) for part in first["loc"]))
        if first["type"] == "extra_forbidden":
            known = [*kind.model_fields, *kind().flat()]
            raise InputError(f"Config has no field '{name}'.{nearest(name, known)}") from error
        if first["type"] == INCOMPATIBLE:
            raise InputError(first["msg"]) from error
        number = number_kind(first["type"])
        if number and not isinstance(first["input"], int):  # one of these is a number, but too large
            raise InputError(
                f"Config field '{name}' must be {number}, but it is {_describe(first['input'])}."
            ) from error
        allowed = re.findall(r"'([^']*)'", first["msg"]) if first["type"] == "literal_error" else []
        meant = nearest(str(first["input"]), allowed) if allowed else ""
        raise InputError(
            f"Config field '{name}': {first['msg']}, but it is {_describe(first['input'])}.{meant}"
        ) from error


def _describe(value: Any) -> str:
    if isinstance(value, list | dict | tuple):
        return "a list" if isinstance(value, list | tuple) else "a mapping"
    try:
        return shorten(repr(value))
    except ValueError:  # Python does not write whole numbers of thousands of digits
        return "too large a number"
