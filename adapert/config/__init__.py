"""The complete settings of one trial: frozen, validated, read from and written to YAML.

"Not in the paper" marks every choice that the AdaPert paper leaves open. Where it makes one, the default is
the paper's but for `model.node_features`, `model.selection`, `model.predict`, `model.own_embedding`,
`model.n_heads`, `model.output_basis`, `model.offset`, `loss.lambda_non`, `loss.non_deg_reduction` and
`loss.alignment`: docs/models.md says why, and the preset ``paper`` (`adapert.config.presets`) has them as the
paper does.
"""

from adapert.config.config import Config, build_config, check_read, config_class
from adapert.config.files import read_config, write_config
from adapert.config.names import (
    OF_CELLS,
    ModelName,
    default_models,
    is_network,
    model_names,
    packaged_models,
    read_sections,
)
from adapert.config.parsing import parse_yaml, shorten
from adapert.config.sections import (
    AppConfig,
    CpaConfig,
    GearsConfig,
    GraphConfig,
    LossConfig,
    ModelConfig,
    MorphConfig,
    PerturbedVaeConfig,
    ScviConfig,
    Section,
    SquaredLossSection,
    StateConfig,
    TxPertConfig,
)

__all__ = [
    "OF_CELLS",
    "AppConfig",
    "Config",
    "CpaConfig",
    "GearsConfig",
    "GraphConfig",
    "LossConfig",
    "ModelConfig",
    "ModelName",
    "MorphConfig",
    "PerturbedVaeConfig",
    "ScviConfig",
    "Section",
    "SquaredLossSection",
    "StateConfig",
    "TxPertConfig",
    "build_config",
    "check_read",
    "config_class",
    "default_models",
    "is_network",
    "model_names",
    "packaged_models",
    "parse_yaml",
    "read_config",
    "read_sections",
    "shorten",
    "write_config",
]
