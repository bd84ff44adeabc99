"""The command as a whole: help, version, and how it ends."""

import ast
import json
import logging
import os
import re
import shlex
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import typer
from fixtures.command import Refused, RunCommand, Simulated

from adapert import __version__
from adapert.cli import app, entry
from adapert.cli.entry import MEANT
from adapert.cli.options import set_verbosity
from adapert.cli.printing import progress
from adapert.process import log_levels

ROOT = Path(__file__).parents[2]

COMMANDS = (
    "simulate",
    "prepare",
    "config",
    "launch",
    "train",
    "ls",
    "status",
    "watch",
    "resume",
    "extend",
    "stop",
    "sync",
    "reproduce",
    "pick",
    "evaluate",
    "compare",
    "predict",
    "rerun",
    "figures",
    "report",
    "ui",
    "doctor",
)
HEAVY = ("torch", "ray", "mlflow", "optuna", "pandas", "scanpy", "anndata", "numpy", "sklearn", "matplotlib")


def options_of(command: str) -> set[str]:
    parameters = typer.main.get_group(app).commands[command].params
    return {name for parameter in parameters for name in parameter.opts if name.startswith("--")}


def test_every_command_is_tested() -> None:
    assert tuple(typer.main.get_group(app).commands) == COMMANDS


def test_help_lists_every_command(adapert: RunCommand) -> None:
    ended = adapert("--help")
    assert ended.status == 0
    assert all(re.search(rf"^\W*{command} ", ended.out, re.MULTILINE) for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_explains_every_option(
    adapert: RunCommand, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    ended = adapert(command, "-h")
    assert ended.status == 0
    assert "…" not in ended.out  # a name cut short cannot be typed
    assert options_of(command)
    for option in options_of(command):
        assert re.search(rf"^\W*{option}\b.*<.*>.*\w{{2}}", ended.out, re.MULTILINE), option


def test_no_word_at_all_prints_the_help(adapert: RunCommand) -> None:
    ended = adapert()
    assert ended.status == 2
    assert "Commands" in ended.out
    assert ended.err == ""


def test_version_is_printed(adapert: RunCommand) -> None:
    ended = adapert("--version")
    assert (ended.status, ended.out) == (0, f"adapert {__version__}\n")


def test_help_imports_nothing_heavy() -> None:
    program = f"""
import sys
from collections import Counter
from adapert.cli import main
sys.argv = ["adapert", "prepare", "--help"]
try:
    main()
finally:
    print(sorted(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr)
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == "[]\n"


@pytest.mark.slow
def test_what_simulate_advises_prepares_whatever_the_name(adapert: RunCommand, tmp_path: Path) -> None:
    name = "demo [bold][/x]:smile:"
    simulated = adapert("simulate", "--out", name)
    assert (simulated.status, simulated.err) == (0, "")
    assert f"Wrote {name}/cells.h5ad" in simulated.out
    hint = shlex.split(simulated.out.splitlines()[-1])
    assert hint[0] == "adapert"
    prepared = adapert(*hint[1:])
    assert (prepared.status, prepared.err) == (0, "")
    assert f"Wrote {name}/prepared. Next: adapert reproduce --data '{name}/prepared'" in prepared.out
    manifest = json.loads((tmp_path / name / "prepared" / "manifest.json").read_text())
    assert manifest["fingerprint"] in prepared.out
    assert sorted(os.listdir(tmp_path / name)) == [
        "cells.h5ad",
        "network.tsv.gz",
        "prepared",
        "text.npz",
        "truth.npz",
    ]


def test_installed_command_refuses_in_one_sentence(tmp_path: Path) -> None:
    words = [str(Path(sys.executable).with_name("adapert")), "launch", "quickstart", "--data", "no"]
    ended = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr == (
        "Error: A prepared data set must be a directory made by 'adapert prepare', but there is no "
        "'no'. Name another, or put it back.\n"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("list",), "There is no command 'list'. Did you mean 'adapert ls'? See 'adapert --help'."),
        (("trials", "search"), "Did you mean 'adapert status STUDY'?"),
        (("tune",), "Did you mean 'adapert launch search'?"),
        (("simluate",), "There is no command 'simluate'. Did you mean 'simulate'?"),
        (("xyz",), "There is no command 'xyz'. See 'adapert --help'."),
        (("launch", "search", "--trails", "3"), "There is no option '--trails'. Did you mean '--trials'?"),
        (("launch", "search", "--trials", "0"), "--trials must be at least 1, but it is 0."),
        (("ui", "--port", "70000"), "--port must be at most 65,535, but it is 70000."),
    ],
)
def test_a_wrong_word_is_answered_by_the_one_that_is_meant(
    refused: Refused, words: tuple[str, ...], said: str
) -> None:
    assert said in refused(*words)


def test_words_of_other_tools_lead_to_commands() -> None:
    assert not MEANT.keys() & set(COMMANDS)
    assert {meant.split()[0] for meant in MEANT.values()} <= set(COMMANDS)


def test_ctrl_c_ends_with_130_and_no_traceback(
    adapert: RunCommand, simulated: Simulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("adapert.data.prepare.prepare", interrupt)
    files = ["--network", simulated.network, "--embeddings", simulated.embeddings, "--out", "out"]
    ended = adapert("prepare", simulated.cells, *files)
    assert (ended.status, ended.err) == (130, "")


def test_an_error_of_the_system_is_told_in_a_sentence(
    adapert: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbid(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", "cells.h5ad")

    monkeypatch.setattr("adapert.data.prepare.prepare", forbid)
    ended = adapert("prepare", "cells.h5ad", "--network", "n", "--embeddings", "t", "--out", "out")
    assert ended.status == 2
    assert ended.err.startswith("Error: Files must be open to this user, but 'cells.h5ad' is not:")
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["prepar"], "Did you mean 'prepare'"),
        (["launch"], "Missing argument"),
        (["launch", "ablation", "--sede", "1"], "--sede"),
        (["simulate"], "Missing option '--out'"),
        (["simulate", "--out", "x", "--seed", "one"], "--seed"),
        (["ui", "--port", "0"], "--port"),
        (["ui", "--port", "70000"], "--port"),
    ],
)
def test_a_wrong_word_is_refused_with_where_to_look(refused: Refused, words: list[str], says: str) -> None:
    message = refused(*words)
    assert says in message
    assert "--help" in message


# how much is printed


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("option", ["--verbose", "--quiet"])
def test_every_command_takes_how_much_it_prints_before_and_behind_its_name(
    refused: Refused, command: str, option: str
) -> None:
    for words in ((option, command), (command, option)):
        assert "--no-such" in refused(*words, "--no-such")  # which alone is not known


@pytest.mark.parametrize("words", [("--quiet", "prepare"), ("prepare", "--quiet")])
def test_quiet_prints_results_and_warnings_alone(
    adapert: RunCommand, simulated: Simulated, words: tuple[str, str]
) -> None:
    inputs = ["--network", simulated.network, "--embeddings", simulated.embeddings]
    ended = adapert(*words, simulated.cells, *inputs, "--out", "data")
    assert (ended.status, ended.err) == (0, "")
    assert "(guessed)" not in ended.out
    assert "fingerprint" not in ended.out
    assert "only 1 validation perturbation: the choice among configs is mostly chance" in ended.out
    assert "Wrote data. Next: " in ended.out


@pytest.mark.parametrize("words", [("--verbose", "prepare"), ("prepare", "--verbose")])
def test_verbose_prints_details_and_where_an_error_arose(
    adapert: RunCommand, simulated: Simulated, words: tuple[str, str]
) -> None:
    inputs = ["--network", simulated.network, "--embeddings", simulated.embeddings]
    ended = adapert(*words, simulated.cells, *inputs, "--out", "data")
    assert ended.status == 0
    assert ended.out.startswith(f"adapert {__version__}, Python ")
    assert "embeddings of" in ended.out
    again = adapert(*words, simulated.cells, *inputs, "--out", "data")
    assert again.status == 2
    assert "Traceback" in again.out
    assert again.err.startswith("Error: ")
    assert again.err.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        ("--quiet", "ls", "--verbose"),
        ("ls", "--quiet", "--verbose"),
        ("--quiet", "--verbose", "ls"),
    ],
)
def test_quiet_and_verbose_together_are_refused(refused: Refused, words: tuple[str, str, str]) -> None:
    assert "--verbose and --quiet contradict each other" in refused(*words)


def test_a_command_leaves_no_handler_and_no_level_behind(adapert: RunCommand) -> None:
    library = logging.getLogger("adapert")
    before = (library.level, list(library.handlers))
    adapert("ls", "--quiet")
    assert (library.level, library.handlers) == before


@pytest.mark.parametrize(("words", "printed"), [((), True), (("--quiet",), False)])
def test_the_progress_of_a_study_is_printed_unless_quiet(words: tuple[str, ...], printed: bool) -> None:
    with log_levels({"adapert": logging.INFO}):
        set_verbosity(quiet="--quiet" in words)
        assert progress().quiet is not printed


# text is printed as text

TELEMETRY = "MLFLOW_DISABLE_TELEMETRY"

MARKUP = "my [/x] :smile: [bold]data[/bold]"


def test_prepare_prints_a_name_with_brackets_as_it_is(
    adapert: RunCommand, simulated: Simulated, tmp_path: Path
) -> None:
    inputs = ["--network", simulated.network, "--embeddings", simulated.embeddings]
    fractions = ["--split-fractions", 0.5, 0.2, 0.3]
    ended = adapert("prepare", simulated.cells, *inputs, *fractions, "--out", MARKUP)
    assert (ended.status, ended.err) == (0, "")
    assert f"Wrote {MARKUP}. Next: adapert reproduce --data {shlex.quote(MARKUP)}" in ended.out
    assert (tmp_path / MARKUP / "manifest.json").is_file()


@pytest.mark.parametrize("own", [None, "false"])
def test_a_command_has_mlflow_tell_its_makers_nothing_unless_the_user_has_it_so(
    adapert: RunCommand, monkeypatch: pytest.MonkeyPatch, own: str | None
) -> None:
    seen = []
    monkeypatch.setattr(entry, "_command", lambda: lambda **_: seen.append(os.environ[TELEMETRY]))
    monkeypatch.delenv(TELEMETRY, raising=False)
    if own:
        monkeypatch.setenv(TELEMETRY, own)
    adapert("ls")
    assert seen == [own or "true"]
    assert os.environ.get(TELEMETRY) == own


def test_ls_prints_a_workspace_with_brackets_as_it_is(adapert: RunCommand, tmp_path: Path) -> None:
    (tmp_path / MARKUP).mkdir(parents=True)
    ended = adapert("ls", "--workspace", MARKUP)
    assert (ended.status, ended.out) == (0, f"'{MARKUP}' has no study yet.\n")


def test_a_plan_prints_variants_with_brackets_as_they_are(
    adapert: RunCommand, simulated: Simulated, tmp_path: Path
) -> None:
    recipe = tmp_path / "mine.py"
    recipe.write_text(
        "from adapert.study.plan.study import Design, Study\n"
        "def study(base):\n"
        f"    plan = Design(kind='ablation', variants={{{MARKUP!r}: {{}}}})\n"
        f"    return Study(name='mine', question={MARKUP!r}, base=base, plan=plan)\n"
    )
    ended = adapert("launch", recipe, "--data", simulated.prepared, "--dry-run", "--device", "cpu")
    assert (ended.status, ended.err) == (0, "")
    assert f"mine: {MARKUP}\n" in ended.out
    assert f"  {MARKUP}: no change\n" in ended.out


def test_a_refusal_prints_a_name_with_brackets_as_it_is(refused: Refused) -> None:
    assert f"'{MARKUP}" in refused("launch", "quickstart", "--data", MARKUP)


@pytest.mark.slow
def test_files_are_utf8_in_an_ascii_locale(simulated: Simulated, tmp_path: Path) -> None:
    config = tmp_path / "mine.yaml"
    config.write_text("# Zürich\nmodel:\n  name: mean\n", encoding="utf-8")
    recipe = tmp_path / "mine.py"
    recipe.write_text(
        "from adapert.study.plan.study import Design, Study\n"
        "def study(base):\n"
        "    plan = Design(kind='ablation', variants={'größer': {}})\n"
        "    return Study(name='mine', question='±?', base=base, plan=plan)\n",
        encoding="utf-8",
    )
    ascii_alone = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    words = ["launch", str(recipe), "--config", str(config), "--data", str(simulated.prepared), "--dry-run"]
    ended = subprocess.run(
        [sys.executable, "-c", "from adapert.cli import main; main()", *words, "--device", "cpu"],
        env={name: value for name, value in os.environ.items() if name != "PYTHONIOENCODING"} | ascii_alone,
        capture_output=True,
        text=True,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "gr\\xf6\\xdfer: no change" in ended.stdout


def test_an_option_that_commands_share_is_declared_once() -> None:
    declared = [
        ast.unparse(node)
        for path in sorted((ROOT / "adapert" / "cli").glob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("typer.Option", "typer.Argument")
    ]
    assert len(declared) > 50
    assert [each for each, n in Counter(declared).items() if n > 1] == []
