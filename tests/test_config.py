import hashlib
import json
import re
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
import yaml

from adapert.config import Config, ModelName, build_config, check_read, read_config, write_config
from adapert.errors import InputError

ALL_ELSEWHERE = {
    "data.path": "/data/k562",
    "data.control": "cell",
    "graph.top_k": 7,
    "model.self_loops": True,
    "model.tau": 0.1 + 0.2,
    "loss.lambda_non": 3e-05,
    "loss.huber_delta": 1 / 3,
    "training.learning_rate": 1e-07,
    "training.weight_decay": 5e-324,
    "kernel_ridge.penalty": 0.2,
    "txpert.layer": "gat",
    "app.dropout": 0.3,
}


def test_flat_names_every_setting_once() -> None:
    flat = Config().flat()
    assert flat["loss.lambda_non"] == 3e-4
    assert flat["model.tau"] == 1.0
    assert set(flat) == {
        f"{section}.{field}"
        for section in Config.model_fields
        for field in get_type_hints(Config)[section].model_fields
    }


def test_flat_settings_rebuild_the_config() -> None:
    config = Config().with_changes(ALL_ELSEWHERE)
    assert build_config(config.flat()) == config
    assert build_config({}) == Config()


def test_changes_apply_all_at_once_and_leave_the_original() -> None:
    base = Config()
    changed = base.with_changes({"model.tau": 0.5, "loss.lambda_non": 0.0})
    assert (changed.model.tau, changed.loss.lambda_non) == (0.5, 0.0)
    assert (base.model.tau, base.loss.lambda_non) == (1.0, 3e-4)
    rest = {
        name: value for name, value in changed.flat().items() if name not in ("model.tau", "loss.lambda_non")
    }
    assert rest.items() <= base.flat().items()


def test_config_is_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Config().model.tau = 2.0  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("model.dropuot", "model.dropout"),
        ("los.lambda_non", "loss.lambda_non"),
        ("lambda_align", "loss.lambda_align"),
    ],
)
def test_unknown_field_is_refused_with_the_nearest_name(name: str, suggestion: str) -> None:
    with pytest.raises(InputError, match=rf"Config has no field '{name}'\. Did you mean '{suggestion}'\?"):
        Config().with_changes({name: 1})


def test_field_like_no_other_is_refused_without_a_suggestion() -> None:
    with pytest.raises(InputError, match=r"Config has no field 'zzz\.qqq'\.$"):
        Config().with_changes({"zzz.qqq": 1})


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("model.dropout", 1.0, "less than 1, but it is 1.0"),
        ("model.tau", 0.0, "greater than 0, but it is 0.0"),
        ("model.context", "zzz", "'adaptive', .* or 'random', but it is 'zzz'"),
        ("loss.lambda_non", -1e-9, "greater than or equal to 0, but it is -1e-09"),
        ("loss.lambda_non", float("nan"), "finite number, but it is nan"),
        ("training.learning_rate", float("inf"), "finite number, but it is inf"),
    ],
)
def test_bad_value_is_refused_in_one_sentence(name: str, value: float | str, rule: str) -> None:
    with pytest.raises(InputError, match=rf"^Config field '{name}': Input should be .*{rule}\.$"):
        Config().with_changes({name: value})


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("model.tau", "abc", "must be a number, but it is 'abc'"),
        ("model.tau", None, "must be a number, but it is None"),
        ("model.tau", [1], "must be a number, but it is a list"),
        ("model.hidden_size", "abc", "must be a whole number, but it is 'abc'"),
        ("model.hidden_size", 2.5, "must be a whole number, but it is 2.5"),
        ("training.max_epochs", None, "must be a whole number, but it is None"),
    ],
)
def test_what_is_no_number_is_refused_in_plain_words(name: str, value: object, rule: str) -> None:
    with pytest.raises(InputError, match=rf"^Config field '{name}' {re.escape(rule)}\.$"):
        Config().with_changes({name: value})


@pytest.mark.parametrize(
    ("name", "value", "suggestion"),
    [
        ("model.name", "rigde_both", "ridge_both"),
        ("model.name", "AdaPert", "adapert"),
        ("model.context", "adaptiv", "adaptive"),
    ],
)
def test_a_word_that_is_no_choice_is_refused_with_the_nearest(name: str, value: str, suggestion: str) -> None:
    with pytest.raises(InputError, match=rf"but it is '{value}'\. Did you mean '{suggestion}'\?$"):
        Config().with_changes({name: value})


def test_digest_knows_every_setting_but_the_path() -> None:
    digests = {Config().digest()}
    others = {
        "model.tau": 0.5,
        "loss.lambda_non": 0.0,
        "data.fingerprint": "abc",
        "graph.top_k": 19,
        "training.patience": 5,
    }
    for name, value in others.items():
        digests.add(Config().with_changes({name: value}).digest())
    assert len(digests) == 1 + len(others)
    assert Config().with_changes({"data.path": "/elsewhere"}).digest() == Config().digest()


def test_digest_is_that_of_the_sorted_settings() -> None:
    settings = {name: value for name, value in Config().settings().items() if name != "data.path"}
    text = json.dumps(dict(sorted(settings.items())))
    assert Config().digest() == hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


@pytest.mark.parametrize(
    ("model", "read"),
    [
        ("adapert", {"data", "graph", "model", "loss", "training"}),
        ("txpert", {"data", "graph", "txpert", "training", "model"}),
        ("kernel_ridge", {"data", "graph", "kernel_ridge", "model"}),
        ("app", {"data", "graph", "app", "training", "model"}),
        ("mean", {"data", "model"}),
    ],
)
def test_settings_are_those_of_the_sections_that_the_model_reads(model: ModelName, read: set[str]) -> None:
    config = Config().with_changes({"model.name": model})
    settings = config.settings()
    assert {name.partition(".")[0] for name in settings} == read
    assert settings.items() <= config.flat().items()
    is_adapert = model == "adapert"
    assert ("model.tau" in settings) == is_adapert


@pytest.mark.parametrize("model", get_args(ModelName))
def test_digest_is_the_same_whatever_a_model_does_not_read(model: ModelName) -> None:
    config = Config().with_changes({"model.name": model})
    elsewhere = {name: value for name, value in ALL_ELSEWHERE.items() if name not in config.settings()}
    assert elsewhere
    changed = config.with_changes(elsewhere)
    assert changed.digest() == config.digest()
    assert changed.settings() == config.settings()
    assert config.with_changes({"data.control": "cell"}).digest() != config.digest()


def test_changes_of_what_no_model_reads_are_refused() -> None:
    ridge = Config().with_changes({"model.name": "kernel_ridge"})
    check_read(["graph.top_k", "kernel_ridge.penalty", "model.name"], ridge)
    check_read(["model.tau"], ridge, Config())
    message = (
        r"^A study varies what its model reads, but 'kernel_ridge' does not read 'model\.tau': it reads "
        r"data, graph, kernel_ridge\. Launch a study of these, or set model\.name to adapert\.$"
    )
    with pytest.raises(InputError, match=message):
        check_read(["graph.top_k", "model.tau"], ridge)
    mean = Config().with_changes({"model.name": "mean"})
    with pytest.raises(
        InputError, match=r"but 'kernel_ridge', 'mean' do not read 'model\.tau': they read data"
    ):
        check_read(["model.tau"], ridge, mean)


def test_whole_number_and_float_are_the_same_setting() -> None:
    one, other = (Config().with_changes({"model.tau": value}) for value in (2, 2.0))
    assert one.digest() == other.digest()


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
            r"sections of fields \(data, graph, model, loss, training, kernel_ridge, txpert, app\), but '.*' "
            r"is not",
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


@pytest.mark.parametrize("value", [[], {"x": [1, 2]}, 10**400, "x" * 100_000])
def test_a_value_that_is_long_to_write_is_not_written(value: object) -> None:
    with pytest.raises(InputError, match=r"^Config field 'model\.tau'(:| must be) ") as refused:
        build_config({"model.tau": value})
    assert len(str(refused.value)) < 500


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, value in Config().flat().items()
        if isinstance(value, int) and not isinstance(value, bool)
    ],
)
def test_every_whole_number_has_an_upper_bound(name: str) -> None:
    with pytest.raises(
        InputError, match=rf"'{name}': Input should be less than or equal to \d+, but it is 1"
    ):
        build_config({name: 10**12})


def test_a_whole_number_of_thousands_of_digits_is_refused() -> None:
    with pytest.raises(InputError, match=r"Config field 'model\.hidden_size'.*it is too large a number\."):
        Config().with_changes({"model.hidden_size": 10**5000})
