"""`adapert config`: the fields of a config, as a user asks for them."""

import json
from pathlib import Path

import pytest
from fixtures.command import Refused, RunCommand

from adapert.config import Config
from adapert.config.fields import build_schema


def fields_of(out: str) -> list[str]:
    lines = [line for line in out.splitlines() if ":" in line and not line.startswith(" ")]
    return [name for line in lines if "." in (name := line.partition(":")[0])]


def test_config_prints_every_field_with_its_values_and_meaning(adapert: RunCommand) -> None:
    ended = adapert("config")
    assert (ended.status, ended.err) == (0, "")
    assert fields_of(ended.out) == list(Config().flat())
    assert "loss.lambda_non: 0.0003   (from 0)\n    Weight of Eq. 16.\n" in ended.out
    assert "model.residual: false   (true | false)" in ended.out
    assert "gears.exponent: 4   (2 | 4)" in ended.out
    assert "data.networks: ''" not in ended.out
    assert "graph.networks: ''   (text)" in ended.out


def test_config_prints_what_a_model_reads(adapert: RunCommand) -> None:
    ended = adapert("config", "--model", "kernel_ridge")
    assert fields_of(ended.out) == list(Config().with_changes({"model.name": "kernel_ridge"}).settings())
    assert "model.name: kernel_ridge   (adapert | " in ended.out
    assert "kernel_ridge: how near two genes are" in ended.out


def test_config_prints_a_files_values_and_the_defaults_that_it_leaves(
    adapert: RunCommand, tmp_path: Path
) -> None:
    (tmp_path / "mine.yaml").write_text("loss: {lambda_non: 0.5}\n")
    ended = adapert("config", "mine.yaml")
    assert fields_of(ended.out) == list(Config().settings())
    assert [line for line in ended.out.splitlines() if "; default" in line] == [
        "loss.lambda_non: 0.5   (from 0; default 0.0003)"
    ]


def test_config_reads_a_preset_by_name(adapert: RunCommand) -> None:
    assert "model.selection: literal" in adapert("config", "paper").out


def test_the_schema_is_all_that_is_printed(adapert: RunCommand) -> None:
    ended = adapert("config", "--schema")
    assert json.loads(ended.out) == build_schema()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--model", "mena"], "Did you mean 'mean'?"),
        (["--model", "mean", "--schema"], "but --model and --schema ask for 2. Give one."),
        (["pper"], "Did you mean 'paper'?"),
        (["none.yaml"], "there is no file 'none.yaml'"),
    ],
)
def test_a_wrong_word_about_a_config_is_refused(refused: Refused, words: list[str], says: str) -> None:
    assert says in refused("config", *words)
