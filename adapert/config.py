"""The complete settings of one trial: frozen, validated, read from and written to YAML.

Defaults are the paper's where it gives one. "Not in the paper" marks every choice it leaves open.
"""

import hashlib
import json
import logging
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic_core import PydanticCustomError

from adapert.errors import InputError, name_some, nearest, number_kind
from adapert.files import write_whole
from adapert.plugins import find_plugins, load_plugin

_LOGGER = logging.getLogger(__name__)

ModelName: TypeAlias = Literal[
    "adapert",
    "txpert",
    "app",
    "control",
    "mean",
    "additive",
    "neighbour",
    "ridge_text",
    "ridge_network",
    "ridge_both",
    "kernel_loo",
    "kernel_ridge",
]
"""Every model by name; `adapert.registry` builds them."""

READ_SECTIONS: dict[ModelName, tuple[str, ...]] = {
    "adapert": ("graph", "model", "loss", "training"),
    "txpert": ("graph", "txpert", "training"),
    "app": ("graph", "app", "training"),
    "kernel_ridge": ("graph", "kernel_ridge"),
}
"""Sections of a config that a model reads beside ``data``; a model that is not named here reads no other."""

WITHOUT_EMBEDDINGS: frozenset[str] = frozenset({"txpert", "control", "mean", "additive", "ridge_network"})
"""The project's models that read no embeddings of genes, whatever their settings."""

WITH_NETWORK: frozenset[str] = frozenset({"neighbour", "ridge_network", "ridge_both", "kernel_loo"})
"""Models that read the data set's network in a form of their own, without the section ``graph``."""

SEVERAL_NETWORK_LAYERS = ("hybrid", "multilayer", "exphormer")
"""Layers of TxPert that read several networks at once; the other models and layers read one."""

MOST_UNITS = 16_384
"""Units of a layer; beyond, a weight matrix for 20,000 genes takes more than a gigabyte."""
MOST_LAYERS = 64
MOST_HEADS = 64
MOST_NODES = 1_000_000
"""More than any organism has genes."""
MOST_ROWS = 1_000_000
"""Rows of a minibatch; as many cells of 5,000 genes take 20 GB."""
MOST_EPOCHS = 1_000_000
MOST_ADDED = 100
"""Times as many random edges as the network's own."""
MOST_PICKED = 1000
"""Characters of the names of picked sources."""
MOST_SEED = 2**31 - 1

MOST_BYTES = 100_000
"""Bytes of a config's file, fifty times what one takes."""
MOST_ALIASES = 16
"""Aliases in YAML, since lists of lists of aliases would multiply."""
MOST_LEVELS = 20
"""Levels of nested YAML; a config has two."""
MOST_SHOWN = 300
"""Characters of a user's text in a message."""

_YAML_WORDS = {
    "mapping values are not allowed here": "there is a ':' where none is expected",
    "expected <block end>": "the indentation differs from that of the lines before",
    "could not determine a constructor": "there is a tag, which a config does not take",
}
"""Beginnings of PyYAML's commonest complaints, in plain words."""


@cache
def packaged_models() -> tuple[str, ...]:
    """Name the models of installed packages, but for names that the project has given to something else."""
    taken = {*get_args(ModelName), *Config.model_fields}
    for name in taken & find_plugins().keys():
        _LOGGER.warning(
            f"The model '{name}' of '{find_plugins()[name].value}' is left out: a model or a section of "
            "the project has this name."
        )
    return tuple(name for name in find_plugins() if name not in taken)


def model_names() -> tuple[str, ...]:
    """Name every model: the project's, then those of installed packages."""
    return (*get_args(ModelName), *packaged_models())


def default_models() -> tuple[str, ...]:
    """Name what a comparison is of unless it says otherwise: AdaPert, and every model fitted at once."""
    return ("adapert", *(name for name in model_names() if not is_network(name)))


def is_network(model: str) -> bool:
    """Whether a model is trained in epochs, from drawn weights; others are fitted at once, without chance."""
    return "training" in read_sections(model)


def read_sections(model: str) -> tuple[str, ...]:
    """Name the sections of a config that a model reads beside ``data``.

    Raises:
        InputError: The model's package cannot be imported.
    """
    if model in packaged_models():
        return (*load_plugin(model).reads, model)
    return READ_SECTIONS.get(model, ())  # type: ignore[call-overload, no-any-return]


def _check_model(name: str) -> str:
    if name not in model_names():
        known = "{} or {}".format(", ".join(map(repr, model_names()[:-1])), repr(model_names()[-1]))
        raise PydanticCustomError("literal_error", f"Input should be {known}")
    return name


class Section(BaseModel):
    """Settings that belong together, frozen; an unknown one is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class DataConfig(Section):
    """Which prepared data set a trial reads, and what it makes of it."""

    path: str = Field("", description="Directory of the prepared data set; not part of the digest.")
    fingerprint: str = Field("", description="Fingerprint of the prepared data set.")
    control: Literal["mean", "batch_mean", "cell"] = Field(
        "mean", description="Control input: one mean profile (Fig. 2), the batch's mean, or a matched cell."
    )
    embeddings: str = Field(
        "",
        max_length=MOST_PICKED,
        description="Sources of embeddings by name, 'text+rpe1': '' is the first, 'none' is none.",
    )
    text_embedding: Literal["original", "shuffled"] = Field(
        "original", description="Embeddings as given, or permuted between genes (ablation)."
    )
    split_seed: int = Field(
        0,
        ge=0,
        le=MOST_SEED,
        description="0: training and validation as prepared; above: redrawn among the two by it.",
    )


class GraphConfig(Section):
    """How the network becomes the graph of Eq. 6."""

    top_k: int = Field(
        20, ge=1, le=MOST_NODES, description="Highest-confidence edges kept into each gene (Table 6)."
    )
    edge_weight: Literal["uniform", "confidence"] = Field(
        "uniform", description="Eq. 6's mean over neighbours, or neighbours weighted by confidence."
    )
    edges: Literal["original", "rewired"] = Field(
        "original", description="The network's edges, or a degree-preserving rewiring (ablation)."
    )
    networks: str = Field(
        "",
        max_length=MOST_PICKED,
        description="Networks by name, 'string+go': '' is the first, 'none' is none.",
    )
    nodes: Literal["all", "perturbed"] = Field(
        "all", description="Genes of the graph: all, or those perturbed in any split; before top_k."
    )
    kept_fraction: float = Field(1.0, ge=0, le=1, description="Edges kept, at random, after top_k.")
    added_fraction: float = Field(
        0.0, ge=0, le=MOST_ADDED, description="Random edges added, as a fraction of those of top_k."
    )
    rewired_fraction: float = Field(
        0.0, ge=0, le=1, description="Edges rewired among each other, which keeps degrees, after top_k."
    )


class ModelConfig(Section):
    """Which model, and the sizes and forms of AdaPert's parts (Eq. 1 to 13)."""

    name: Annotated[str, AfterValidator(_check_model)] = Field(
        "adapert", description="A model of the project, or of an installed package that brings one."
    )
    node_features: Literal["one_hot", "text", "both"] = Field(
        "both",
        description="h(0): a learnable row per gene (Eq. 5), its projected text, or the sum of the two.",
    )
    structural_size: int = Field(64, ge=1, le=MOST_UNITS, description="d_s of Eq. 6. Not in the paper.")
    latent_size: int = Field(128, ge=1, le=MOST_UNITS, description="d of Eq. 1. Not in the paper.")
    hidden_size: int = Field(
        256, ge=1, le=MOST_UNITS, description="Hidden units of encoder and decoder. Not in the paper."
    )
    n_graph_layers: int = Field(2, ge=0, le=MOST_LAYERS, description="L of Eq. 6; 0 is no message passing.")
    graph_activation: Literal["none", "relu", "gelu"] = Field(
        "none", description="Between graph layers; Eq. 6 has none."
    )
    self_loops: bool = Field(False, description="Whether each gene is its own neighbour; not in Eq. 6.")
    residual: bool = Field(False, description="Whether a layer's input is added to its output; not in Eq. 6.")
    score_size: int = Field(
        64, ge=1, le=MOST_UNITS, description="Hidden units of the score of Eq. 10. Not in the paper."
    )
    score_activation: Literal["tanh", "relu", "gelu"] = Field(
        "tanh", description="The non-linearity of Eq. 10. Not in the paper."
    )
    tau: float = Field(1.0, gt=0, description="Temperature of Eq. 12.")
    threshold: float = Field(
        4.0, gt=0, description="T of Eq. 12 in units of 1/V, the uniform probability over V nodes."
    )
    selection: Literal["straight_through", "literal", "soft", "top_k"] = Field(
        "straight_through",
        description="Gradient through alpha; none (Eq. 13 to the letter); alpha as weight; best nodes.",
    )
    context: Literal["adaptive", "constant", "all_nodes", "neighbourhood", "random"] = Field(
        "adaptive", description="Which nodes make z_context (Eq. 13); all but 'adaptive' are ablations."
    )
    context_size: int = Field(
        64,
        ge=1,
        le=MOST_NODES,
        description="Nodes of a 'top_k' selection and of a 'random' context. Not in the paper.",
    )
    predict: Literal["delta", "expression"] = Field(
        "delta", description="Whether the decoder's output is added to the control profile (Eq. 3)."
    )
    offset: Literal["training_mean", "none"] = Field(
        "training_mean", description="Whether the training mean is added to the decoder's output."
    )
    dropout: float = Field(0.1, ge=0, lt=1, description="In encoder and decoder. Not in the paper.")


class LossConfig(Section):
    """The three terms of Eq. 21."""

    lambda_non: float = Field(3e-4, ge=0, description="Weight of Eq. 16.")
    non_deg_reduction: Literal["sum", "mean"] = Field("sum", description="Over non-DEGs; Eq. 16 sums.")
    huber_delta: float = Field(0.5, gt=0, description="delta of Eq. 17, in huber_delta_unit.")
    huber_delta_unit: Literal["standard_deviation", "absolute"] = Field(
        "standard_deviation",
        description="Of the training non-DEG deltas (text), or the units of deltas (Table 8).",
    )
    lambda_align: float = Field(1e-3, ge=0, description="Weight of Eq. 20.")
    alignment: Literal["frozen", "paper", "contrastive"] = Field(
        "frozen", description="g of Eq. 19: fixed random projection, trainable (can collapse), or InfoNCE."
    )
    contrastive_temperature: float = Field(0.1, gt=0, description="Of 'contrastive'. Not in the paper.")
    weighting: Literal["cells", "perturbations"] = Field(
        "cells", description="Whether rows weigh by their cells (the paper's loss) or perturbations equally."
    )


class KernelRidgeConfig(Section):
    """`kernel_ridge`: how near two genes are, by text and network, and the penalty. Not in the paper."""

    network_kernel: Literal["spectral", "heat", "laplacian"] = Field(
        "spectral",
        description="Weights of the network's eigenvectors: eigenvalues, diffusion, regularised Laplacian.",
    )
    size: int = Field(64, ge=1, le=MOST_UNITS, description="Leading eigenvectors of the network.")
    time: float = Field(1.0, gt=0, description="Of 'heat' and 'laplacian': how far the network reaches.")
    text_gamma: float = Field(
        0.25, gt=0, description="Of the text's kernel exp(-gamma d^2); the larger, the fewer genes are near."
    )
    network_gamma: float = Field(0.25, gt=0, description="The same of the kernel of places in the network.")
    text_weight: float = Field(
        0.5, ge=0, le=1, description="Weight of the text's kernel; the rest is the network's."
    )
    product_weight: float = Field(1.0, ge=0, description="Weight of the two kernels' product.")
    other_gamma: float = Field(
        1.0, gt=0, description="As text_gamma, of each further source of data.embeddings."
    )
    other_weight: float = Field(2.0, ge=0, description="Weight of the kernel of each further source.")
    penalty: float = Field(3.0, gt=0, description="Of the ridge.")


class SquaredLossSection(Section):
    """Settings of a network that is trained on the squared error, and on AdaPert's non-DEG loss if asked."""

    lambda_non: float = Field(0.0, ge=0, description="Weight of AdaPert's Eq. 16.")
    non_deg_reduction: Literal["sum", "mean"] = Field("sum", description="As loss.non_deg_reduction.")
    huber_delta: float = Field(0.5, gt=0, description="As loss.huber_delta.")
    huber_delta_unit: Literal["standard_deviation", "absolute"] = Field(
        "standard_deviation", description="As loss.huber_delta_unit."
    )


class TxPertConfig(SquaredLossSection):
    """`txpert`: graph attention over a table of genes, the encoder of controls, the decoder (own version).

    Defaults are those of the published model's public configuration; the paper gives none.
    """

    layer: Literal["gat", "gat_v2", "hybrid", "multilayer", "exphormer"] = Field(
        "gat_v2",
        description="Kind of graph attention; the last three read several networks, joined in their ways.",
    )
    n_layers: int = Field(4, ge=0, le=MOST_LAYERS, description="Layers of attention; 0 is no graph.")
    size: int = Field(128, ge=1, le=MOST_UNITS, description="Of a gene's row of the table, and of a head.")
    n_heads: int = Field(2, ge=1, le=MOST_HEADS, description="Heads of a layer's attention.")
    skip: Literal["none", "add", "cat"] = Field(
        "cat", description="How a layer's output and its input are joined; 'exphormer' always adds them."
    )
    self_loops: bool = Field(True, description="Whether each gene attends to itself.")
    latent_size: int = Field(64, ge=1, le=MOST_UNITS, description="Of s and z.")
    hidden_size: int = Field(
        512, ge=1, le=MOST_UNITS, description="Hidden units of control encoder and decoder."
    )
    dropout: float = Field(0.2, ge=0, lt=1, description="In all three parts.")
    norm: Literal["batch", "layer", "none"] = Field(
        "batch",
        description="Of hidden units; for 'batch', averaged controls are encoded with 'layer'.",
    )
    basal: Literal["mlp", "none"] = Field(
        "mlp", description="Encoder of controls; without one the decoder's output is added to the control."
    )


class AppConfig(SquaredLossSection):
    """`app`, the AdaptivePerturbPredictor (Zhao and Wu 2025): its sizes, forms and loss.

    The paper gives no size, optimiser or loss. The defaults are its form to the letter, at the half to one
    million parameters that it speaks of.
    """

    node_features: Literal["one_hot", "random", "text", "expression", "both"] = Field(
        "both",
        description="x of Sec. 3.2: a learnable row per gene, a fixed random one, its projected text, its "
        "control expression, or learnable row plus text.",
    )
    size: int = Field(128, ge=1, le=MOST_UNITS, description="D of Eq. 2, of every layer.")
    n_layers: int = Field(2, ge=0, le=MOST_LAYERS, description="L of Sec. 3.2; 0 is no message passing.")
    aggregation: Literal["mean", "sum", "max"] = Field("mean", description="AGGREGATE of Eq. 1.")
    attention: Literal["perturbation", "none"] = Field(
        "perturbation",
        description="Cell state by attention over all genes (Eq. 4 to 6), or the perturbed genes' own mean "
        "(Eq. 3; ablation).",
    )
    score_size: int = Field(64, ge=1, le=MOST_UNITS, description="Hidden units of the score of Eq. 4.")
    own_gene: bool = Field(
        False,
        description="Whether W c_P is added to the cell state, without which it hardly depends on P; not in "
        "the paper.",
    )
    decoder: Literal["linear", "mlp"] = Field("linear", description="Eq. 7, or a hidden layer (ablation).")
    hidden_size: int = Field(256, ge=1, le=MOST_UNITS, description="Hidden units of the 'mlp' decoder.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Of the cell state, and of the 'mlp' decoder.")


class TrainingConfig(Section):
    """The optimiser and its budget. Not in the paper."""

    learning_rate: float = Field(1e-3, gt=0, description="AdamW's.")
    weight_decay: float = Field(1e-2, ge=0, description="AdamW's, decoupled.")
    schedule: Literal["constant", "cosine", "plateau"] = Field(
        "constant", description="Learning rate over epochs; 'plateau' lowers it when validation stalls."
    )
    plateau_factor: float = Field(0.5, gt=0, lt=1, description="What 'plateau' multiplies the rate by.")
    plateau_patience: int = Field(
        5, ge=0, le=MOST_EPOCHS, description="Epochs without a better one that 'plateau' endures."
    )
    minibatch_size: int = Field(
        64, ge=1, le=MOST_ROWS, description="Rows (perturbations, or cells) an optimiser step."
    )
    precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="Of the products of a training step: autocast to bfloat16 pays on GPUs."
    )
    max_epochs: int = Field(60, ge=1, le=MOST_EPOCHS, description="Epochs at most.")
    patience: int = Field(
        20, ge=1, le=MOST_EPOCHS, description="Epochs without a better validation Pearson-delta."
    )


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
        is_left_out = model == "app" and self.app.node_features not in ("text", "both")
        return model not in WITHOUT_EMBEDDINGS and not is_left_out

    @property
    def reads_edges(self) -> bool:
        """Whether the model reads edges between genes, with these settings."""
        is_used = {
            "adapert": self.model.n_graph_layers > 0 or self.model.context == "neighbourhood",
            "txpert": self.txpert.n_layers > 0,
            "app": self.app.n_layers > 0,
        }
        name = self.model.name
        return name in WITH_NETWORK or ("graph" in read_sections(name) and is_used.get(name, True))

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
        settings = {name: value for name, value in self.settings().items() if name != "data.path"}
        return hashlib.blake2b(json.dumps(settings, sort_keys=True).encode(), digest_size=6).hexdigest()

    def to_yaml(self) -> str:
        """Write what the model reads as YAML, as `read_config` takes it."""
        import yaml

        return str(yaml.safe_dump(_nest(self.settings()), sort_keys=False))


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


def _readers(field: str) -> str:
    """Models that read a field: one, or "one or another"."""
    section = field.partition(".")[0]
    return " or ".join(model for model in model_names() if section in read_sections(model))


def build_config(flat: Mapping[str, Any]) -> Config:
    """Build a config from dotted names; what is not named keeps its default.

    Raises:
        InputError: A field that does not exist, or a value it does not take.
    """
    return _validated(_nest(flat))


def _nest(flat: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    nested: dict[str, dict[str, Any]] = {}
    for name, value in flat.items():
        section, _, field = name.partition(".")
        nested.setdefault(section, {})[field] = value
    return nested


def read_config(path: Path) -> Config:
    """Read a config from YAML (sections of fields); what is absent keeps its default.

    Raises:
        InputError: Not YAML, a field that does not exist, or a value it does not take.
        FileNotFoundError: No such file.
    """
    if not path.is_file():
        what = f"'{path}' is a directory" if path.is_dir() else f"there is no file '{path}'"
        raise FileNotFoundError(f"A config must be a YAML file, but {what}. Name one, such as best.yaml.")
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise InputError(
            f"A config takes at most {MOST_BYTES:,} bytes, but '{path}' has {size:,}. Name another file."
        )
    try:
        nested = parse_yaml(path.read_bytes())
    except ValueError as error:
        raise InputError(
            f"A config must be YAML, but '{path}' is not: {error}. Name a YAML file, or mend this one."
        ) from error
    nested = {} if nested is None else nested
    if not isinstance(nested, dict) or not all(isinstance(fields, dict) for fields in nested.values()):
        raise InputError(
            f"A config must be sections of fields ({', '.join(Config.model_fields)}), but '{path}' is not."
        )
    return _validated(nested)


def parse_yaml(text: str | bytes) -> Any:
    """Parse YAML that may be anybody's: plain data, each key a text and there once, no deeper than needed.

    Args:
        text: As bytes also with a byte order mark, of UTF-8 or UTF-16.

    Raises:
        ValueError: Not such YAML.
    """
    import yaml

    try:
        n_aliases, n_levels = 0, 0
        for event in yaml.parse(text, yaml.SafeLoader):  # none of these events is nested in another
            n_aliases += isinstance(event, yaml.AliasEvent)
            n_levels += isinstance(event, yaml.CollectionStartEvent) - isinstance(
                event, yaml.CollectionEndEvent
            )
            if n_aliases > MOST_ALIASES or n_levels > MOST_LEVELS:
                raise ValueError(f"it has more than {MOST_LEVELS} levels, or {MOST_ALIASES} aliases")
        return _build_loader()(text).get_single_data()
    # PyYAML lets through what Python says of its words: a date that is none, a number of nothing.
    except Exception as error:
        raise ValueError(_shorten(_describe_yaml_error(error))) from error


def _describe_yaml_error(error: Exception) -> str:
    """Say a line and what is wrong there, without PyYAML's names and drawings."""
    import yaml

    if isinstance(error, yaml.reader.ReaderError):
        return "it has characters that are no text"
    if not isinstance(error, yaml.MarkedYAMLError):
        return str(error) or type(error).__name__
    problem = error.problem or error.context or "it cannot be parsed"
    if problem.startswith("but ") and error.context:
        problem = f"{error.context}, {problem}"
    plain = next((words for start, words in _YAML_WORDS.items() if problem.startswith(start)), "")
    problem = plain or re.sub(r"'?<([^>]*)>'?", r"the \1", problem)
    mark = error.problem_mark or error.context_mark
    return f"in line {mark.line + 1}, {problem}" if mark else problem


@cache
def _build_loader() -> type[Any]:
    """Make a safe loader that refuses keys which are there twice, or are no text."""
    import yaml

    class Loader(yaml.SafeLoader):
        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            keys = [key for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
            if any(key.tag != "tag:yaml.org,2002:str" for key in keys):
                raise ValueError("a key is not text")
            twice = [name for name, count in Counter(key.value for key in keys).items() if count > 1]
            if twice:
                raise ValueError(f"'{_shorten(twice[0])}' is there twice")
            return super().construct_mapping(node, deep)

    return Loader


def write_config(config: Config, path: Path) -> None:
    """Write what a config's model reads as YAML."""
    write_whole(path, config.to_yaml())


def _validated(nested: Mapping[str, Any]) -> Config:
    model = nested.get("model", {}).get("name", "")
    kind = config_class(model if isinstance(model, str) else "")
    try:
        return kind.model_validate(nested)
    except ValidationError as error:
        first = error.errors()[0]
        name = _shorten(".".join(str(part) for part in first["loc"]))
        if first["type"] == "extra_forbidden":
            known = [*kind.model_fields, *kind().flat()]
            raise InputError(f"Config has no field '{name}'.{nearest(name, known)}") from error
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
        return _shorten(repr(value))
    except ValueError:  # Python does not write whole numbers of thousands of digits
        return "too large a number"


def _shorten(text: str) -> str:
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}..."
