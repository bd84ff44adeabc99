"""What can be set, in words and as a JSON schema: compared with what `read_config` takes."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from adapert.config import Config, model_names, read_config
from adapert.config.fields import build_schema, default_config, describe_fields, every_class
from adapert.config.presets import locate_config, preset_names
from adapert.errors import InputError


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    schema = build_schema()
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def test_fields_are_those_of_a_config_with_their_defaults() -> None:
    assert {field.name: field.default for field in describe_fields()} == Config().flat()


def test_every_field_says_what_it_is() -> None:
    assert [field.name for field in describe_fields() if not field.meaning] == []


def test_the_name_of_a_model_is_one_of_the_models() -> None:
    (named,) = [field for field in describe_fields() if field.name == "model.name"]
    assert named.values == model_names()


@pytest.mark.parametrize("model", ["txpert", "mean"])
def test_a_models_defaults_are_of_the_model(model: str) -> None:
    assert default_config(model) == Config().with_changes({"model.name": model})


def test_an_unknown_model_is_answered_with_the_nearest() -> None:
    with pytest.raises(InputError, match=r"but it is 'txprt'\. Did you mean 'txpert'\?$"):
        default_config("txprt")


def test_the_schema_takes_every_config_that_the_project_writes(validator: Draft202012Validator) -> None:
    written = [yaml.safe_load(default_config(model).to_yaml()) for model in model_names()]
    written += [yaml.safe_load(locate_config(Path(name)).read_text()) for name in preset_names()]
    assert [list(validator.iter_errors(config)) for config in written] == [[]] * len(written)


@pytest.mark.parametrize(
    "wrong",
    [
        {"model": {"dropuot": 0.1}},
        {"modle": {"dropout": 0.1}},
        {"model": {"dropout": 1.0}},
        {"model": {"n_heads": 0}},
        {"model": {"n_heads": 1.5}},
        {"model": {"name": "adaprt"}},
        {"model": {"context": "adaptiv"}},
        {"gears": {"exponent": 3}},
        {"training": {"learning_rate": -1.0}},
    ],
)
def test_the_schema_refuses_what_reading_a_config_refuses(
    validator: Draft202012Validator, tmp_path: Path, wrong: dict[str, Any]
) -> None:
    (tmp_path / "wrong.yaml").write_text(yaml.safe_dump(wrong))
    with pytest.raises(InputError, match=r"^Config"):
        read_config(tmp_path / "wrong.yaml")
    assert not validator.is_valid(wrong)


@pytest.mark.usefixtures("package")
def test_a_packages_model_has_its_section_in_the_schema_and_among_all_fields() -> None:
    schema = Draft202012Validator(build_schema())
    assert schema.is_valid({"model": {"name": "text_map"}, "text_map": {"rank": 3}})
    assert not schema.is_valid({"text_map": {"rank": 0}})
    assert "text_map.rank" in {field.name for field in describe_fields(every_class())}
