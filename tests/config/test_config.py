import hashlib
import json
import re
from typing import get_args, get_type_hints

import pytest
from fixtures.configs import ALL_ELSEWHERE

from adapert.config import Config, ModelName, build_config, check_read
from adapert.errors import InputError


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


@pytest.mark.parametrize("parts", ["", "both", "text+text", "text+", "text + one_hot"])
def test_node_features_are_known_parts_each_once(parts: str) -> None:
    with pytest.raises(InputError, match=r"some of 'one_hot', .* joined by '\+', but it is '"):
        Config().with_changes({"model.node_features": parts})


def test_the_order_of_node_features_makes_no_other_config() -> None:
    one, other = (
        Config().with_changes({"model.node_features": parts}) for parts in ("text+one_hot", "one_hot+text")
    )
    assert one.digest() == other.digest()


def test_a_plateau_needs_a_best_epoch() -> None:
    with pytest.raises(
        InputError,
        match=r"^Config field 'training\.kept_epoch' must be 'best' .* but it is 'last'\. Set another",
    ):
        Config().with_changes({"training.schedule": "plateau", "training.kept_epoch": "last"})


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
        "training.deterministic": True,
    }
    for name, value in others.items():
        digests.add(Config().with_changes({name: value}).digest())
    assert len(digests) == 1 + len(others)
    assert Config().with_changes({"data.path": "/elsewhere"}).digest() == Config().digest()


@pytest.mark.parametrize(
    ("model", "digest"), [("adapert", "a2f2f9462a08"), ("txpert", "faed51c87925"), ("scvi", "b4f86a641b13")]
)
def test_digests_of_defaults_are_those_of_older_studies(model: str, digest: str) -> None:
    assert Config().with_changes({"model.name": model}).digest() == digest


def test_digest_is_that_of_the_sorted_settings() -> None:
    left_out = ("data.path", "training.deterministic")
    settings = {name: value for name, value in Config().settings().items() if name not in left_out}
    text = json.dumps(dict(sorted(settings.items())))
    assert Config().digest() == hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


@pytest.mark.parametrize(
    ("model", "read"),
    [
        ("adapert", {"data", "graph", "model", "loss", "training"}),
        ("txpert", {"data", "graph", "txpert", "training", "model"}),
        ("kernel_ridge", {"data", "graph", "kernel_ridge", "model"}),
        ("app", {"data", "graph", "app", "training", "model"}),
        ("gears", {"data", "graph", "gears", "training", "model"}),
        ("perturbed_vae", {"data", "graph", "perturbed_vae", "training", "model"}),
        ("scvi", {"data", "scvi", "training", "model"}),
        ("cpa", {"data", "cpa", "training", "model"}),
        ("state", {"data", "state", "training", "model"}),
        ("morph", {"data", "morph", "training", "model"}),
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
        InputError, match=rf"'{name}': Input should be (less than or equal to \d+|2 or 4), but it is 1"
    ):
        build_config({name: 10**12})


def test_a_whole_number_of_thousands_of_digits_is_refused() -> None:
    with pytest.raises(InputError, match=r"Config field 'model\.hidden_size'.*it is too large a number\."):
        Config().with_changes({"model.hidden_size": 10**5000})


@pytest.mark.parametrize(
    ("changes", "is_read"),
    [
        ({}, False),
        ({"data.control": "cell"}, True),
        ({"model.name": "gears"}, True),
        ({"model.name": "perturbed_vae"}, True),
        ({"model.name": "perturbed_vae", "perturbed_vae.rows": "means"}, False),
        ({"model.name": "scvi"}, True),
        ({"model.name": "state"}, True),
        ({"model.name": "morph"}, True),
        ({"model.name": "morph", "morph.rows": "means"}, False),
        ({"model.name": "txpert"}, False),
    ],
)
def test_models_of_cells_keep_them_where_splits_are_drawn_again(
    changes: dict[str, str], is_read: bool
) -> None:
    assert Config().with_changes(changes).reads_training_cells == is_read
