"""The complete settings of one trial: frozen, validated, read from and written to YAML.

Defaults are the paper's where it gives one. "Not in the paper" marks every choice it leaves open.
"""

from adapert.config.config import Config, build_config, check_read, config_class
from adapert.config.files import read_config, write_config
from adapert.config.names import (
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
    GraphConfig,
    LossConfig,
    ModelConfig,
    Section,
    SquaredLossSection,
    TxPertConfig,
)

__all__ = [
    "AppConfig",
    "Config",
    "GraphConfig",
    "LossConfig",
    "ModelConfig",
    "ModelName",
    "Section",
    "SquaredLossSection",
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
