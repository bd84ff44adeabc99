import re
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from fixtures.configs import ALL_ELSEWHERE

from adapert.config import Config, ModelName, build_config, read_config, write_config
from adapert.config.fields import default_config
from adapert.config.names import model_names
from adapert.config.presets import locate_config, preset_names
from adapert.errors import InputError


def test_yaml_round_trip_is_exact(tmp_path: Path) -> None:
    config = Config().with_changes(ALL_ELSEWHERE)
    write_config(config, tmp_path / "config.yaml")
    again = read_config(tmp_path / "config.yaml")
    assert again == build_config(config.settings())
    assert again.digest() == config.digest()
    assert {name: type(value) for name, value in again.flat().items()} == {
        name: type(value) for name, value in config.flat().items()
    }


@pytest.mark.parametrize("model", get_args(ModelName))
def test_yaml_holds_what_the_model_reads_and_nothing_else(model: ModelName, tmp_path: Path) -> None:
    config = Config().with_changes(ALL_ELSEWHERE | {"model.name": model})
    write_config(config, tmp_path / "config.yaml")
    found = yaml.safe_load((tmp_path / "config.yaml").read_text())
    flat = {
        f"{section}.{field}": value for section, fields in found.items() for field, value in fields.items()
    }
    assert flat == config.settings()


@pytest.mark.parametrize("has_libyaml", [True, False])
def test_yaml_is_that_of_pyyaml_with_libyaml_and_without_it(
    monkeypatch: pytest.MonkeyPatch, has_libyaml: bool
) -> None:
    if not has_libyaml:
        monkeypatch.delattr(yaml, "CSafeDumper", raising=False)
    presets = [read_config(locate_config(Path(name))) for name in preset_names()]
    for config in (*map(default_config, model_names()), *presets, Config().with_changes(ALL_ELSEWHERE)):
        sections: dict[str, dict[str, Any]] = {}
        for name, value in config.settings().items():
            section, _, field = name.partition(".")
            sections.setdefault(section, {})[field] = value
        assert config.to_yaml() == yaml.safe_dump(sections, sort_keys=False)


@pytest.mark.parametrize("path", ["/data of Zürich" * 9, "/data, all: '漢'\t" * 9, "\n" * 200])
def test_long_values_are_the_same_with_libyaml_and_without_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, path: str
) -> None:
    config = Config().with_changes({"data.path": path})
    written = config.to_yaml()
    monkeypatch.delattr(yaml, "CSafeDumper", raising=False)
    assert config.to_yaml() == written
    assert read_config(write(tmp_path, written)) == config


def write(directory: Path, text: str) -> Path:
    path = directory / "config.yaml"
    path.write_text(text)
    return path


def test_absent_fields_keep_their_defaults(tmp_path: Path) -> None:
    config = read_config(write(tmp_path, "model:\n  tau: 0.5\n"))
    assert config == Config().with_changes({"model.tau": 0.5})
    assert read_config(write(tmp_path, "")) == Config()


def test_float_that_yaml_calls_text_is_read(tmp_path: Path) -> None:
    # YAML 1.1 wants a point and a sign: to PyYAML, 3e-05 is text.
    assert read_config(write(tmp_path, "loss:\n  lambda_non: 3e-05\n")).loss.lambda_non == 3e-05


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("modle:\n  tau: 1\n", r"Config has no field 'modle'\. Did you mean 'model'\?"),
        ("model:\n  tua: 1\n", r"Config has no field 'model\.tua'\. Did you mean 'model\.tau'\?"),
        ("model:\n  tau: -1\n", r"Config field 'model\.tau': .* greater than 0, but it is -1\."),
        (
            "tau: 1\n",
            r"sections of fields \(data, graph, model, loss, training, kernel_ridge, txpert, app, gears, "
            r"perturbed_vae, scvi, cpa, state, morph\), but '.*' is not",
        ),
        ("- model\n", "sections of fields"),
        ("model: {tau: 1\n", "A config must be YAML, but '.*' is not: "),
    ],
)
def test_bad_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_config(write(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "# AdaPert\n\nThe result is an answer: which config is best: this one\n",
            "in line 3, there is a ':' where",
        ),
        ("model: {tau: 1\n", "in line 2, expected ',' or '}', but got the stream end"),
        ("model:\n  tau: 1\n threshold: 2\n", "in line 3, the indentation differs from that of the lines"),
        ("model: {tau: *nowhere}\n", "in line 1, found undefined alias 'nowhere'"),
        ("--- {}\n--- {}\n", "in line 2, expected a single document in the stream, but found another"),
        ("model: '\x00'\n", "it has characters that are no text"),
    ],
)
def test_what_is_no_yaml_is_said_with_its_line(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(InputError, match=re.escape(problem)) as refused:
        read_config(write(tmp_path, text))
    assert "byte string" not in str(refused.value)
    assert str(refused.value).endswith(". Name a YAML file, or mend this one.")


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no file '.*nowhere\.yaml'"):
        read_config(tmp_path / "nowhere.yaml")


def test_a_directory_is_named_as_one(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"YAML file, but '.*' is a directory\. Name one, such as"):
        read_config(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "model: " + "[" * 50_000,
        "model: " + "{a: " * 20_000,
        "- " * 20_000,
        "a: &a [x]\n" + "\n".join(f"k{n}: [*a]" for n in range(17)),
        "model:\n  tau: 1\n  tau: 2\n",
        "model: {tau: 1}\nmodel: {tau: 2}\n",
        "1: {tau: 1}\n",
        "model: {yes: 1}\n",
        "? [a, b]\n: {tau: 1}\n",
        "model: {tau: 2001-99-99}\n",
        "model: {tau: !!int ''}\n",
        "model: {tau: !!float ''}\n",
        "model: {tau: !!timestamp x}\n",
        "model: {tau: !!python/object/apply:os.getcwd []}\n",
        "model: {tau: " + "9" * 5000 + "}\n",
        "model: {tau: *nowhere}\n",
        "--- {}\n--- {}\n",
        "model: '\x00'\n",
    ],
)
def test_hostile_yaml_is_refused_in_one_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(InputError, match=r"A config must be YAML, but '.*' is not: ") as refused:
        read_config(tmp_path / "config.yaml")
    assert len(str(refused.value)) < 800


def test_aliases_that_multiply_are_refused(tmp_path: Path) -> None:
    lines = ["a: &a {x: 1}"]
    lines += [
        f"{chr(98 + n)}: &{chr(98 + n)} {{<<: [{', '.join([f'*{chr(97 + n)}'] * 9)}]}}" for n in range(9)
    ]
    (tmp_path / "config.yaml").write_text("\n".join(lines))
    with pytest.raises(InputError, match="more than 20 levels, or 16 aliases"):
        read_config(tmp_path / "config.yaml")


def test_a_value_may_be_named_and_used_again(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("model: {tau: &half 0.5}\nloss: {huber_delta: *half}\n")
    config = read_config(tmp_path / "config.yaml")
    assert (config.model.tau, config.loss.huber_delta) == (0.5, 0.5)


def test_a_file_too_large_for_a_config_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("\n" * 100_001)
    with pytest.raises(InputError, match=r"at most 100,000 bytes, but '.*' has 100,001"):
        read_config(tmp_path / "config.yaml")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_config_may_have_a_byte_order_mark(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "config.yaml").write_bytes("data: {path: größe}\n".encode(encoding))
    assert read_config(tmp_path / "config.yaml").data.path == "größe"
