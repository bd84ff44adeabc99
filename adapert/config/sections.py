"""The sections of a config: each field's default, bounds and meaning."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from adapert.config.names import model_names

MOST_UNITS = 16_384
"""Units of a layer; beyond, a weight matrix for 20,000 genes takes more than a gigabyte."""
MOST_LATENTS = 1024
"""Of which each may move each other."""
MOST_LAYERS = 64
MOST_HEADS = 64
MOST_NODES = 1_000_000
"""More than any organism has genes."""
MOST_ROWS = 1_000_000
"""Rows of a minibatch; as many cells of 5,000 genes take 20 GB."""
MOST_CELLS = 4096
"""Cells of a set, each of which attends to each other."""
MOST_EPOCHS = 1_000_000
MOST_ADDED = 100
"""Times as many random edges as the network's own."""
MOST_PICKED = 1000
"""Characters of the names of picked sources."""
MOST_SEED = 2**31 - 1


def _check_model(name: str) -> str:
    if name not in model_names():
        known = "{} or {}".format(", ".join(map(repr, model_names()[:-1])), repr(model_names()[-1]))
        raise PydanticCustomError("literal_error", f"Input should be {known}")
    return name


INCOMPATIBLE = "incompatible"
"""Kind of the error of fields that do not go together; its message is the whole sentence."""

NODE_FEATURES = ("one_hot", "text", "spectral", "diffused")


def _check_node_features(parts: str) -> str:
    named = parts.split("+")
    if len(set(named)) < len(named) or not set(named) <= set(NODE_FEATURES):
        known = ", ".join(map(repr, NODE_FEATURES))
        raise PydanticCustomError("parts", f"Input should be some of {known}, each once, joined by '+'")
    return "+".join(part for part in NODE_FEATURES if part in named)


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
    node_features: Annotated[str, AfterValidator(_check_node_features)] = Field(
        "text+spectral+diffused",
        description="h(0), a sum of parts: 'one_hot' (a learnable row per gene, Eq. 5), 'text', 'spectral' "
        "(eigenvectors of the network) and 'diffused' (text of neighbours); all but the first projected.",
    )
    spectral_size: int = Field(256, ge=1, le=MOST_UNITS, description="Eigenvectors of 'spectral' features.")
    structural_size: int = Field(64, ge=1, le=MOST_UNITS, description="d_s of Eq. 6. Not in the paper.")
    latent_size: int = Field(256, ge=1, le=MOST_UNITS, description="d of Eq. 1. Not in the paper.")
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
    own_embedding: Literal["structural", "features", "none"] = Field(
        "features",
        description="What the perturbed gene itself adds to the latent state: h of Eq. 6, its node features "
        "before any message, or nothing (Eq. 3 to the letter).",
    )
    other_scale: float = Field(
        6.0,
        gt=0,
        description="Of 'features': how many times as strong as text and network each further source of "
        "data.embeddings enters, untrained.",
    )
    n_heads: int = Field(
        8, ge=1, le=MOST_HEADS, description="Decoders trained side by side, whose predictions are averaged."
    )
    decoder_layers: int = Field(3, ge=1, le=MOST_LAYERS, description="Hidden layers of the decoder.")
    output_basis: int = Field(
        64,
        ge=0,
        le=MOST_UNITS,
        description="Principal directions of the training deltas that the decoder weighs; 0 decodes genes.",
    )
    offset: Literal["training_mean", "none"] = Field(
        "training_mean", description="Whether the training mean is added to the decoder's output."
    )
    dropout: float = Field(0.5, ge=0, lt=1, description="In encoder and decoder. Not in the paper.")

    @property
    def feature_parts(self) -> list[str]:
        """Parts of `node_features`, in the order of `NODE_FEATURES`."""
        return self.node_features.split("+")


class LossConfig(Section):
    """The three terms of Eq. 21."""

    lambda_non: float = Field(3e-4, ge=0, description="Weight of Eq. 16.")
    non_deg_reduction: Literal["sum", "mean"] = Field(
        "sum",
        description="Of Eq. 16 over genes, beside a mean in Eq. 15: its sum, or a mean too, which is both "
        "equations to the letter.",
    )
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


class GearsConfig(Section):
    """`gears`: tables of genes and perturbations, their graphs, and a loss beyond the square (own version).

    Defaults are those of the published package.
    """

    size: int = Field(64, ge=1, le=MOST_UNITS, description="d, of every state.")
    n_network_layers: int = Field(
        1, ge=0, le=MOST_LAYERS, description="Graph convolutions over the network; 0 is no network."
    )
    n_coexpression_layers: int = Field(
        1, ge=0, le=MOST_LAYERS, description="Graph convolutions over co-expressed genes; 0 is none."
    )
    coexpression_threshold: float = Field(
        0.4,
        gt=0,
        le=1,
        description="Least absolute correlation, over training cells, of joined genes.",
    )
    cross_gene: bool = Field(
        True, description="Whether each gene's delta also depends on the state of all genes, c."
    )
    exponent: Literal[2, 4] = Field(4, description="Power of the error of each cell.")
    direction: Literal["none", "tanh"] = Field(
        "none",
        description="Penalty of a wrong direction of change: the published one, by sign, has no gradient.",
    )
    direction_weight: float = Field(0.1, ge=0, description="Of that penalty.")


class PerturbedVaeConfig(Section):
    """`perturbed_vae`: sizes, forms and loss of PerturbedVAE (Jiang et al. 2026), own construction.

    Its paper is known by the abstract alone: a representation split into what perturbations leave alone and
    what they change, sparse effects, a causal latent model, alignment. Everything else is chosen here.
    """

    rows: Literal["auto", "cells", "means"] = Field(
        "auto",
        description="Single cells, or mean responses (a reduced form); 'auto' is cells where there are any.",
    )
    invariant_size: int = Field(
        32, ge=0, le=MOST_UNITS, description="Latents that perturbations leave alone; 0 is none (ablation)."
    )
    specific_size: int = Field(16, ge=1, le=MOST_LATENTS, description="Latents that they move.")
    hidden_size: int = Field(256, ge=1, le=MOST_UNITS, description="Hidden units of encoder and decoder.")
    effects: Literal["linear", "table"] = Field(
        "linear",
        description="A gene's effect on the latents: linear in embeddings and spectrum, or learned rows that "
        "know nothing of other genes (ablation).",
    )
    spectral_size: int = Field(
        64, ge=1, le=MOST_UNITS, description="Eigenvectors of the network for 'linear'."
    )
    mask: Literal["bernoulli", "none"] = Field(
        "bernoulli", description="Which latents a gene moves: drawn, or all (ablation)."
    )
    mask_prior: float = Field(0.1, gt=0, lt=1, description="Prior probability that a gene moves a latent.")
    lambda_sparsity: float = Field(1.0, ge=0, description="Weight of the masks' KL to their prior.")
    latent_graph: Literal["causal", "none"] = Field(
        "causal", description="Whether latents move each other by a triangular matrix, or not (ablation)."
    )
    beta: float = Field(
        0.5,
        ge=0,
        description="Weight of the latents' KL to their priors: twice the variance of a gene's noise.",
    )
    alignment: Literal["mmd", "contrastive", "both", "none"] = Field(
        "both",
        description="Invariant latents of perturbed and control cells alike (MMD), specific ones near their "
        "own perturbation's shift (InfoNCE), or both.",
    )
    lambda_align: float = Field(0.1, ge=0, description="Weight of the alignment.")
    contrastive_temperature: float = Field(0.1, gt=0, description="Of 'contrastive'.")


class ScviConfig(Section):
    """`scvi`: sizes and loss of scVI (Lopez et al. 2018), own compact version; defaults of scvi-tools."""

    latent_size: int = Field(10, ge=1, le=MOST_LATENTS, description="Latents; scvi-tools: 10.")
    hidden_size: int = Field(
        128, ge=1, le=MOST_UNITS, description="Hidden units of encoder and decoder; scvi-tools: 128."
    )
    n_layers: int = Field(1, ge=1, le=MOST_LAYERS, description="Hidden layers of each; scvi-tools: 1.")
    dropout: float = Field(0.1, ge=0, lt=1, description="In the encoder; scvi-tools: 0.1.")
    beta: float = Field(
        1.0, ge=0, description="Weight of the latents' KL to their prior; scvi-tools: 1, after a warm-up."
    )
    unseen: Literal["mean", "text"] = Field(
        "mean",
        description="Shift of a gene that no training perturbation targets: the mean of trained genes', or "
        "ridge regression of theirs on text.",
    )


class CpaConfig(Section):
    """`cpa`: sizes and loss of CPA (Lotfollahi et al. 2023), own compact version.

    Defaults are chosen here; descriptions name those of the paper's code, whose layers and loss are others.
    """

    latent_size: int = Field(64, ge=1, le=MOST_LATENTS, description="Latents; the paper's code: 128.")
    hidden_size: int = Field(
        256,
        ge=1,
        le=MOST_UNITS,
        description="Hidden units of encoder, decoder and adversary, one layer each; the paper's code: 128 "
        "in three layers, 64 in two for the adversary.",
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="In encoder and decoder.")
    lambda_adversary: float = Field(
        1.0,
        ge=0,
        description="Weight with which the encoder hides the perturbation; 0 is none (ablation); the paper's "
        "code: 60, beside a likelihood.",
    )
    gradient_penalty: float = Field(
        5.0, ge=0, description="Weight of the adversary's squared gradient; the paper's code: 60."
    )
    unseen: Literal["mean", "text"] = Field(
        "mean",
        description="Effect of a gene that no training perturbation targets: the mean of trained genes', or "
        "ridge regression of theirs on text.",
    )


class StateConfig(Section):
    """`state`: sizes of STATE (Adduri et al. 2025), own compact version.

    The published models are larger: of hidden size 696 with 8 layers and 12 heads, on sets of 512 cells.
    """

    hidden_size: int = Field(128, ge=1, le=MOST_UNITS, description="Of a cell's token; published: 696.")
    n_layers: int = Field(
        2, ge=0, le=MOST_LAYERS, description="Transformer layers; 0 lets no cell see another. Published: 8."
    )
    n_heads: int = Field(4, ge=1, le=MOST_HEADS, description="Of each layer's attention; published: 12.")
    set_size: int = Field(
        64, ge=1, le=MOST_CELLS, description="Cells that are predicted together; published: 512."
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="Of tokens.")

    @model_validator(mode="after")
    def _check_heads(self) -> Self:
        if self.hidden_size % self.n_heads:
            raise PydanticCustomError(
                INCOMPATIBLE,
                "Config field 'state.hidden_size' must be a multiple of 'state.n_heads', but they are "
                "{hidden_size} and {n_heads}. Set 1, 2 or 4 heads and a size that they divide.",
                {"hidden_size": self.hidden_size, "n_heads": self.n_heads},
            )
        return self


class MorphConfig(Section):
    """`morph`: sizes and loss of MORPH (He et al. 2025), own compact version.

    Sizes of latents and programs, and the two weights, are those of the published package.
    """

    rows: Literal["auto", "cells", "means"] = Field(
        "auto",
        description="Sets of cells, or mean responses (a reduced form); 'auto' is cells where there are any.",
    )
    latent_size: int = Field(50, ge=1, le=MOST_UNITS, description="Latents of a control cell, z.")
    perturbation_size: int = Field(50, ge=1, le=MOST_UNITS, description="Latents of a perturbation, e_P.")
    n_programs: int = Field(50, ge=1, le=MOST_UNITS, description="Rows of G, learned gene programs.")
    program_size: int = Field(50, ge=1, le=MOST_UNITS, description="Size of a program.")
    n_layers: int = Field(
        2, ge=0, le=MOST_LAYERS, description="Times that latents attend to programs; 0 is none (ablation)."
    )
    hidden_size: int = Field(128, ge=1, le=MOST_UNITS, description="Hidden units of both encoders.")
    set_size: int = Field(32, ge=1, le=MOST_CELLS, description="Cells that are compared together.")
    alpha: float = Field(2.0, ge=0, description="Weight of the MMD of perturbed cells.")
    beta: float = Field(2.0, ge=0, description="Weight of the KL of z to its prior.")
    ramp_epochs: int = Field(
        10, ge=0, le=MOST_EPOCHS, description="Epochs in which both weights rise from 0; not the package's."
    )


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
        64, ge=1, le=MOST_ROWS, description="Rows (perturbations, cells or sets of cells) an optimiser step."
    )
    precision: Literal["float32", "tf32", "bfloat16"] = Field(
        "float32",
        description="Of the products of a training step: TF32 and autocast to bfloat16 pay on GPUs; on a CPU "
        "TF32 is float32.",
    )
    deterministic: bool = Field(
        False,
        description="The same seed gives the same bits again, on the same machine with as many threads, also "
        "on a GPU and by several threads, more slowly; an operation that cannot ends the trial. One thread "
        "of a CPU always does.",
    )
    max_epochs: int = Field(60, ge=1, le=MOST_EPOCHS, description="Epochs at most.")
    patience: int = Field(
        20, ge=1, le=MOST_EPOCHS, description="Epochs without a better validation Pearson-delta."
    )
    kept_epoch: Literal["best", "last"] = Field(
        "best",
        description="Whose weights are kept: of the best validation Pearson-delta, or of the last epoch.",
    )
    weight_averaging: float = Field(
        0.0, ge=0, lt=1, description="Decay a step of the averaged weights that predict; 0 averages none."
    )

    @model_validator(mode="after")
    def _check_schedule(self) -> Self:
        if self.schedule == "plateau" and self.kept_epoch == "last":
            raise PydanticCustomError(
                INCOMPATIBLE,
                "Config field 'training.kept_epoch' must be 'best' with schedule 'plateau', which lowers the "
                "rate after epochs that are not the best, but it is 'last'. Set another schedule, or 'best'.",
            )
        return self
