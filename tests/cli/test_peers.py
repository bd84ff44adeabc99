"""`adapert launch peers` up to its first trial; `tests/slow/test_peers.py` runs it."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from fixtures.command import Refused, RunCommand, Simulated
from fixtures.dataset import build_tiny_dataset, write_prepared

from adapert.cli.options import Retraining
from adapert.cli.peers import plan_peers, without_failed
from adapert.config import OF_CELLS, Config
from adapert.data.manifest import MANIFEST_FILE, read_manifest
from adapert.errors import InputError
from adapert.study.engine.ledger import LEDGER_FILE

Peers = Callable[..., str]


@pytest.fixture
def peers(refused: Refused, simulated: Simulated) -> Peers:
    """Run a `launch peers` that must be refused on the prepared data set."""

    def run(*words: object) -> str:
        return refused("launch", "peers", "--data", simulated.prepared, "--device", "cpu", *words)

    return run


def test_a_dry_run_lists_every_search_and_the_comparison_and_writes_nothing(
    adapert: RunCommand, simulated: Simulated, tmp_path: Path
) -> None:
    words = ["--data", simulated.prepared, "--models", "adapert,kernel_ridge,mean", "--trials", "6"]
    budget = ["--seeds", "2", "--splits", "2", "--max-epochs", "2", "--device", "cpu"]
    ended = adapert("launch", "peers", *words, *budget, "--dry-run")
    assert (ended.status, ended.err) == (0, "")
    for line in ("peers_adapert: ", "peers_kernel_ridge: ", "peers: "):
        assert f"\n{line}" in f"\n{ended.out}"
    assert ended.out.count("6 trials of at most 2 epochs") == 2
    assert "then at most 15 trials of its best 3" in ended.out
    # Two forms of AdaPert with 2 seeds, two of kernel ridge with one, and the mean, on 2 splits each.
    assert "14 trials of at most 2 epochs" in ended.out
    assert "2 systems as published and as picked, 1 model without a search, each on 2 splits" in ended.out
    assert "all of it: at most about" in ended.out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("package")
def test_all_models_are_those_of_packages_too() -> None:
    assert plan_peers(Config(), Retraining(), {}).models[-1] == "text_map"


def test_models_of_cells_are_left_out_where_a_data_set_has_none_and_refused_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = build_tiny_dataset()
    responses = replace(dataset, manifest=replace(dataset.manifest, kind="responses"))
    compared = []
    for name, each in (("cells", dataset), ("responses", responses)):
        write_prepared(each, tmp_path / name)
        base = Config().with_changes({"data.path": str(tmp_path / name)})
        compared.append(set(plan_peers(base, Retraining(), {}).models))
    assert compared[0] - compared[1] == OF_CELLS
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("The data set has no single cells, which leaves out 'cpa', 'scvi'")
    named = plan_peers(base, Retraining(), {}, models=["adapert", "state"])
    with pytest.raises(InputError, match=r"model\.name 'state' needs single cells"):
        named.build_searches()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--models", "adaprt"], "There is no model 'adaprt'. Did you mean 'adapert'?"),
        (["--models", "mean,kernel_loo"], "none has a search space. Add one of adapert"),
        (["--set", "model.tau=9"], "'model.tau' is 9.0 and the space has"),
        (["--name", "../peers"], "A study's name must be of letters"),
        (["--splits", "0"], "--splits"),
        (["--trials", "4", "--sampler", "grid"], "grid"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_anything_is_written(
    peers: Peers, words: list[str], says: str
) -> None:
    assert says in peers(*words)


def test_options_of_peers_are_refused_for_other_studies(refused: Refused, simulated: Simulated) -> None:
    for option in (["--models", "adapert"], ["--splits", "2"], ["--top", "2"], ["--redraws", "1"]):
        message = refused("launch", "ablation", "--data", simulated.prepared, *option)
        assert "--fresh-seeds and --redraws are of 'peers', but the study is 'ablation'" in message


def test_other_systems_under_the_name_of_a_begun_comparison_are_refused_before_any_search(
    peers: Peers, peers_workspace: Path, tmp_path: Path
) -> None:
    shutil.copytree(peers_workspace, tmp_path / "runs")
    message = peers("--models", "adapert,kernel_ridge", "--splits", "2")
    assert "was begun with others (adapert, kernel_ridge, kernel_loo, ridge_text, mean)" in message
    assert "Give another --name" in message


def test_a_search_with_another_budget_is_refused(
    peers: Peers, peers_workspace: Path, tmp_path: Path, simulated: Simulated
) -> None:
    shutil.copytree(peers_workspace, tmp_path / "runs")
    assert read_manifest(simulated.prepared).fingerprint != "0012"
    models = "adapert,kernel_ridge,kernel_loo,ridge_text,mean"
    assert "'peers_adapert' exists in 'runs' with another config" in peers(
        "--models", models, "--splits", "2"
    )


def test_reproduce_refuses_peers_that_cannot_be_compared_before_its_own_search(
    refused: Refused, simulated: Simulated, tmp_path: Path
) -> None:
    (tmp_path / "outside.yaml").write_text("model: {tau: 9}\n")
    words = ["reproduce", "--peers", "--data", simulated.prepared, "--device", "cpu", "--config"]
    words.append(tmp_path / "outside.yaml")
    assert "'model.tau' is 9.0 and the space has" in refused(*words)


def test_how_the_best_are_retrained_is_a_choice(adapert: RunCommand, simulated: Simulated) -> None:
    words = ["--data", simulated.prepared, "--models", "kernel_ridge,mean", "--splits", "1", "--dry-run"]
    words += ["--trials", "4", "--top", "2", "--fresh-seeds", "1", "--redraws", "1", "--device", "cpu"]
    assert "then at most 4 trials of its best 2, on fresh seeds" in adapert("launch", "peers", *words).out


def test_several_data_sets_are_several_comparisons(
    adapert: RunCommand, simulated: Simulated, copied_data: Path
) -> None:
    words = ["--data", f"k562={simulated.prepared}", "--data", copied_data, "--models", "kernel_ridge,mean"]
    ended = adapert(
        "launch", "peers", *words, "--trials", "2", "--splits", "1", "--device", "cpu", "--dry-run"
    )
    assert (ended.status, ended.err) == (0, "")
    begun = [line.partition(":")[0] for line in ended.out.splitlines() if line.startswith("peers_")]
    assert begun == ["peers_k562_kernel_ridge", "peers_k562", "peers_other_kernel_ridge", "peers_other"]
    assert ended.out.count("all of it: at most about") == 1
    assert ended.out.count("then at most 10 trials of its best 2") == 2


@pytest.fixture(scope="module")
def copied_data(simulated: Simulated, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The prepared data set with another fingerprint."""
    copied = tmp_path_factory.mktemp("data") / "other"
    shutil.copytree(simulated.prepared, copied)
    manifest = copied / MANIFEST_FILE
    own = read_manifest(copied).fingerprint
    manifest.write_text(manifest.read_text("utf-8").replace(own, "f" * len(own)), "utf-8")
    return copied


def test_data_sets_that_are_the_same_or_would_share_a_study_are_refused(
    refused: Refused, simulated: Simulated, copied_data: Path
) -> None:
    def run(*data: object) -> str:
        given = [word for each in data for word in ("--data", each)]
        return refused("launch", "peers", *given, "--models", "kernel_ridge,mean", "--device", "cpu")

    assert "'a' and 'b' have the same fingerprint" in run(
        f"a={simulated.prepared}", f"b={simulated.prepared}"
    )
    assert "'k' is given twice" in run(f"k={simulated.prepared}", f"k={copied_data}")
    assert "would be 'peers_kernel_ridge', which is another's" in run(f"kernel_ridge={copied_data}")
    assert "A study's name must be of letters" in run(f"k 562={copied_data}")
    assert "A data set is given as DIR or NAME=DIR" in run(f"={copied_data}")


def test_several_data_sets_are_of_peers_alone(refused: Refused, simulated: Simulated) -> None:
    words = ["--data", simulated.prepared, "--data", simulated.prepared]
    assert "A study has one data set, but --data names 2" in refused("launch", "ablation", *words)


def test_a_system_whose_every_trial_failed_is_left_out_unless_that_is_all_of_them(
    peers_workspace: Path, tmp_path: Path
) -> None:
    workspace = tmp_path / "runs"
    shutil.copytree(peers_workspace, workspace)
    plan = plan_peers(Config(), Retraining(), {}, models=["adapert", "kernel_ridge", "mean"])
    searches = plan.build_searches()
    assert without_failed(plan, searches, workspace) == plan
    kept = []
    for model in searches:
        ledger = workspace / "studies" / f"peers_{model}" / LEDGER_FILE
        lines = [json.loads(line) for line in ledger.read_text("utf-8").splitlines()]
        failed = [line | {"status": "failed"} if line["event"] == "ended" else line for line in lines]
        ledger.write_text("".join(json.dumps(line) + "\n" for line in failed), "utf-8")
        kept.append(list(without_failed(plan, searches, workspace).models))
    assert kept == [["kernel_ridge", "mean"], ["adapert", "kernel_ridge", "mean"]]
