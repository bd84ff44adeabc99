import json
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pandas as pd
import pytest
import typer
import yaml
from fixtures.accesses import build_access
from fixtures.ledger import first_line
from fixtures.narrowed import of_kind, present
from fixtures.results import KnownResults

from adapert.cli import app
from adapert.comparison.test_access import Access
from adapert.config import Config, build_config
from adapert.data.manifest import FORMAT_VERSION
from adapert.results.find import open_study
from adapert.results.study import PickRecord, StudyResults
from adapert.selection.rank import Pick
from adapert.study.engine.events import StudyDefined
from adapert.study.engine.ledger import LEDGER_FILE, Ledger
from adapert.study.engine.state import StudyState
from adapert.study.plan.recipes import build_study
from adapert.study.plan.study import Design, Study
from adapert.testing import define_study
from analysis.findings.pick import ReadPick
from analysis.report.elements import Code, Facts, Paragraph
from analysis.report.provenance import build_commands, build_data, build_versions

MANIFEST = {"format_version": FORMAT_VERSION, "fingerprint": "0012", "kind": "cells", "split_seed": 3}
CODE = {"git_commit": "0123456789abcdef-dirty", "packages": "torch 2.13.0+cpu, ray 2.60.0"}


def reading(
    recipe: str = "search",
    changes: dict[str, float] | None = None,
    budget: dict[str, int] | None = None,
    path: str = "data",
    **state: Any,
) -> KnownResults:
    study = build_study(recipe, Config().with_changes({"data.path": path} | (changes or {})))
    study = study.with_budget(**(budget or {}))
    first = StudyDefined.model_validate_json(define_study(study, recipe).model_dump_json())
    trials = [{"data.path": path, "run": "r"}]
    folded = StudyState(first=first, **state)
    return KnownResults(recipe, trials, state=folded, fingerprint="0012", **CODE)


def pick_of(**changes: Any) -> Pick:
    known = {"objective": "pearson_delta", "reevaluated": None, "trials": ("search/001",), "config": Config()}
    return cast(Pick, SimpleNamespace(**(known | changes)))


def commands(
    given: StudyResults, workspace: Path, picks: Sequence[ReadPick] = (), accesses: Sequence[Access] = ()
) -> list[str]:
    return of_kind(Code, build_commands([given], workspace, picks, accesses)[0]).text.splitlines()


def test_a_launch_is_written_with_what_differs_from_its_recipe(tmp_path: Path) -> None:
    given = reading(changes={"loss.lambda_non": 1e-5}, budget={"n_trials": 80}, n_more_trials=4)
    words, extended, _ = (shlex.split(line) for line in commands(given, tmp_path))
    assert words[:5] == ["adapert", "launch", "search", "--data", "data"]
    assert words[words.index("--trials") + 1] == "80"
    assert "--seed" not in words
    field, _, value = words[words.index("--set") + 1].partition("=")
    assert Config().with_changes({field: yaml.safe_load(value)}).loss.lambda_non == 1e-5
    assert extended[1:5] == ["extend", "search", "--trials", "4"]


def test_many_changes_become_a_file_of_the_same_config(tmp_path: Path) -> None:
    changes = {"model.tau": 0.5, "model.dropout": 0.2, "graph.top_k": 5, "training.max_epochs": 9}
    given = reading(changes=changes | {"loss.huber_delta": 0.1})
    lines, base = build_commands([given], tmp_path, [], [])
    assert "--config search_base.yaml" in of_kind(Code, lines).text
    sections = yaml.safe_load(of_kind(Code, base).text)
    flat = {f"{s}.{name}": v for s, fields in sections.items() for name, v in fields.items()}
    assert build_config(flat) == build_config(present(given.state).definition.study["base"])


def test_without_a_ledger_the_recipe_is_not_guessed(tmp_path: Path) -> None:
    lost = KnownResults("search")
    assert commands(lost, tmp_path)[0].startswith("# search: its ledger is not in this workspace")


def parse(line: str) -> tuple[str, dict[str, Any]]:
    """The command of a line, parsed by the real command line, and its arguments."""
    _, name, *words = shlex.split(line)
    found = typer.main.get_group(app).commands[name]
    return name, found.make_context(name, words).params


def test_every_line_is_a_command_and_comes_after_what_it_needs(tmp_path: Path) -> None:
    best = Config().with_changes({"data.path": "data", "model.tau": 0.4, "graph.top_k": 7})
    ablation = reading("ablation", {"model.tau": 0.4, "graph.top_k": 7})
    given = [ablation, reading("sensitivity"), reading(budget={"n_trials": 9}, n_more_trials=3)]
    picked = pick_of(config=best, reevaluated=pd.DataFrame(), reevaluation="gone")
    accesses = [build_access(config_digest=best.digest(), data_fingerprint="0012")]
    parts = build_commands(given, tmp_path, [ReadPick("search", picked)], accesses)
    codes = [of_kind(Code, part) for part in parts]
    parsed = [parse(line) for line in codes[0].text.splitlines()]
    assert [name for name, _ in parsed] == [
        *("launch", "extend", "pick", "launch", "launch", "evaluate", "report")
    ]
    written = {"ablation_base.yaml", "sensitivity_base.yaml"} & {code.label.split(": ")[-1] for code in codes}
    for _name, arguments in parsed:
        config = arguments.get("config")
        assert config is None or str(config) in written
        written.add(str(arguments.get("out")))
    launched = [arguments["name"] for name, arguments in parsed if name == "launch"]
    assert launched == ["search", "ablation", "sensitivity"]
    assert str(parsed[3][1]["config"]) == "search_best.yaml"  # it starts from what was picked
    assert parsed[4][1]["config"] is None


def test_what_was_not_run_is_not_listed(tmp_path: Path) -> None:
    verbs = [shlex.split(line)[1] for line in commands(reading(), tmp_path, [ReadPick("search", pick_of())])]
    assert verbs == ["launch", "report"]


def test_a_pick_without_training_is_listed_where_the_study_knows_of_it(tmp_path: Path) -> None:
    given = reading()
    given.picked = PickRecord("pds")
    _, line, _ = commands(given, tmp_path, [ReadPick("search", pick_of(objective="pds"))])
    assert parse(line)[1]["no_reevaluation"] is True
    assert parse(line)[1]["objective"] == "pds"


def test_a_config_that_no_pick_wrote_is_evaluated_from_a_file_of_its_own(tmp_path: Path) -> None:
    other = Config().with_changes({"model.tau": 0.3})
    accesses = [
        build_access(config_digest=other.digest(), config=other.flat(), data_fingerprint="0012", study=""),
        build_access(config_digest="of other data"),
    ]
    lines, shown = build_commands([reading()], tmp_path, [], accesses)
    _, evaluated, _ = (parse(line) for line in of_kind(Code, lines).text.splitlines())
    assert [str(path) for path in evaluated[1]["configs"]] == [f"evaluated_{other.digest()}.yaml"]
    assert yaml.safe_load(of_kind(Code, shown).text)["model"]["tau"] == 0.3


def test_an_evaluation_on_validation_is_listed_as_one(tmp_path: Path) -> None:
    models = [{"variant": "adapert", "seed": seed} for seed in (0, 1)]
    record = {
        "opened": {"at": "2025-01-01T00:00:00+00:00", "data_fingerprint": "0012", "split": "validation"},
        "config": Config().flat(),
        "models": [*models, {"variant": "adapert_ensemble", "seed": 0}, {"variant": "split_half", "seed": 0}],
        "git_commit": "abc",
        "refit": "train",
    }
    folder = tmp_path / "evaluations" / "validation_001"
    folder.mkdir(parents=True)
    (folder / "evaluation.json").write_text(json.dumps(record))
    (folder.with_name("validation_002")).mkdir()
    (folder.with_name("validation_002") / "evaluation.json").write_text("{")
    test_access = build_access(config_digest="c1", data_fingerprint="0012")
    _, validated, tested, _ = (parse(line) for line in commands(reading(), tmp_path, [], [test_access]))
    asked = {name: validated[1][name] for name in ("split", "models", "seeds", "ensemble", "again")}
    assert asked == {
        **{"split": "validation", "models": ["adapert"], "seeds": 2, "ensemble": True, "again": False}
    }
    assert (tested[1]["split"], tested[1]["again"]) == ("test", False)


def test_an_evaluation_on_other_data_is_listed_with_them(tmp_path: Path) -> None:
    transfer = build_access(data_fingerprint="ffff", trained_on="0012", on="/data/rpe1")
    config = transfer.config_digest
    _, evaluated, _ = (parse(line) for line in commands(reading(), tmp_path, [], [transfer]))
    assert [str(path) for path in evaluated[1]["configs"]] == [f"evaluated_{config}.yaml"]
    assert (str(evaluated[1]["on"]), evaluated[1]["again"]) == ("/data/rpe1", False)


def test_what_no_recipe_launched_is_said_and_no_command(tmp_path: Path) -> None:
    given = reading()
    again = KnownResults("search_reevaluation", state=given.state, design="reevaluation")
    given.state = replace(
        present(given.state), first=present(given.state).definition.model_copy(update={"recipe": ""})
    )
    assert commands(given, tmp_path)[0].startswith("# search: it was launched from Python")
    assert commands(again, tmp_path)[0] == "# search_reevaluation: 'adapert pick' ran it"


def test_a_pick_and_its_evaluation_are_written_with_their_options(tmp_path: Path) -> None:
    names = ("rank_1", "rank_2", "rank_1_split_1", "rank_2_split_1")
    variants: dict[str, dict[str, Any]] = {name: {} for name in names}
    redrawn = dict.fromkeys(list(variants)[2:], 1)
    plan = Design(kind="reevaluation", variants=variants, n_seeds=4, n_seeds_of=redrawn)
    study = Study(name="search_reevaluation", question="Do they hold?", base=Config(), plan=plan)
    folder = tmp_path / "studies" / "search_reevaluation"
    ledger = Ledger(folder / LEDGER_FILE)
    ledger.append(first_line(study))
    ledger.close()
    picked = pick_of(reevaluated=pd.DataFrame(), reevaluation="search_reevaluation")
    digest = Config().digest()
    access = build_access(
        config_digest=digest,
        data_fingerprint="0012",
        n_seeds=5,
        refit="train+validation",
        use_ensembles=True,
    )
    accesses = [access, replace(access, data_fingerprint="of another"), access]
    _, pick, first, second, *_ = commands(reading(), tmp_path, [ReadPick("search", picked)], accesses)
    assert "--top 2 --fresh-seeds 4 --redraws 1 --out search_best.yaml" in pick
    words = "--models adapert,mean --seeds 5 --refit train+validation --ensemble"
    assert f"adapert evaluate search_best.yaml {words} --workspace" in first
    assert f"{words} --again" in second


def test_versions_tell_a_commit_from_one_with_changes() -> None:
    table = build_versions([reading()])
    cells = {row[0].text: row[1].text for row in table.rows}
    assert cells["git commit"] == "0123456789ab"
    assert cells["uncommitted changes"] == "yes"
    assert cells["torch"] == "2.13.0+cpu"


def test_data_that_are_gone_are_told_by_their_fingerprint(tmp_path: Path) -> None:
    facts, told = build_data([reading(path="/nowhere")], tmp_path)
    assert dict(of_kind(Facts, facts).rows) == {"fingerprint": "0012", "directory": "/nowhere"}
    assert isinstance(told, Paragraph)


def test_data_that_moved_with_the_workspace_are_named_where_they_are_now(tmp_path: Path) -> None:
    moved = tmp_path / "data" / "prepared"
    moved.mkdir(parents=True)
    (moved / "manifest.json").write_text(json.dumps(MANIFEST))
    given = reading(path="/old/data/prepared")
    (facts,) = build_data([given], tmp_path / "runs")
    assert dict(of_kind(Facts, facts).rows)["directory"] == str(moved)
    launched = shlex.split(commands(given, tmp_path / "runs")[0])
    assert launched[launched.index("--data") + 1] == str(moved)


def test_responses_are_said_to_be_in_their_own_units_and_not_tested(tmp_path: Path) -> None:
    choices = {
        "kind": "responses",
        "units": "rank",
        "significant_layer": "up",
        "deg_test": "mann_whitney",
        "deg_adjust": "fdr",
    }
    manifest = MANIFEST | {"kind": "responses", "choices": choices}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    facts = dict(of_kind(Facts, build_data([reading(path=str(tmp_path))], tmp_path)[0]).rows)
    assert facts["units of deltas"] == "rank"
    assert facts["DEGs"] == "marked by the responses' layer 'up'"
    assert not any("mann" in value.lower() for value in facts.values())


@pytest.mark.parametrize("fingerprint", ["0012", "ffff"])
def test_data_are_described_by_their_manifest_only_where_they_are_the_same(
    tmp_path: Path, fingerprint: str
) -> None:
    counts = {"perturbations": 9, "combinations": 2, "train": 5, "validation": 2, "test": 2, "genes": 40}
    manifest = MANIFEST | {"fingerprint": fingerprint, "counts": counts}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    parts = build_data([reading(path=str(tmp_path))], tmp_path)
    assert isinstance(parts[0], Facts)
    facts = dict(parts[0].rows)
    if fingerprint == "0012":
        assert facts["perturbations"] == "9, 2 of them combinations"
        assert facts["splits"] == "5 train, 2 validation, 2 test; drawn with split seed 3"
    else:
        assert "fingerprint ffff" in of_kind(Paragraph, parts[1]).text


def test_a_comparison_of_systems_is_one_command_with_the_budget_of_its_searches(
    peers_workspace: Path,
) -> None:
    names = ["peers_adapert", "peers_kernel_ridge", "peers"]
    given = [open_study(peers_workspace, name) for name in names]
    parts = build_commands(given, peers_workspace, [], [])
    first, second, line, _ = of_kind(Code, parts[0]).text.splitlines()
    assert [first, second] == [f"# {name}: 'adapert launch peers' ran it" for name in names[:2]]
    verb, asked = parse(line)
    assert (verb, asked["study"], asked["name"]) == ("launch", "peers", "peers")
    wanted = {
        "models": ["adapert,kernel_ridge,kernel_loo,ridge_text,mean"],
        "splits": 2,
        "trials": 6,
        "seeds": 2,
    }
    assert {name: asked[name] for name in wanted} == wanted
    assert asked["min_epochs"] == "4"


def test_a_comparison_on_a_data_set_with_a_name_is_launched_by_it(named_peers_workspace: Path) -> None:
    study = open_study(named_peers_workspace, "peers_k562")
    (code, *_) = build_commands([study], named_peers_workspace, [], [])
    verb, asked = parse(of_kind(Code, code).text.splitlines()[0])
    assert (verb, asked["study"], asked["name"], asked["trials"]) == ("launch", "peers", "peers", 6)
    assert asked["data"][0].startswith("k562=")
