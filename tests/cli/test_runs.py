import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from fixtures.command import Refused, RunCommand
from fixtures.trained import Trained

from adapert.prediction.predictions import CONTEXT_COLUMNS
from adapert.prediction.rerun import _OneTrial
from adapert.study.engine.ledger import LEDGER_FILE
from adapert.study.execution.resources import Resources

GENE = "GENE0001"


@pytest.fixture
def where(trained: Trained) -> tuple[str, Path]:
    return ("--workspace", trained.workspace)


def test_predict_prints_the_strongest_genes_of_each_perturbation(
    adapert: RunCommand, where: tuple[str, Path]
) -> None:
    ended = adapert("predict", "forms/001", GENE, f"{GENE}+GENE0002", *where)
    assert ended.status == 0
    lines = ended.out.splitlines()
    assert lines[0] == "Predicted by trial forms/001; deltas in log1p units."
    start = lines.index(f"{GENE}+GENE0002")
    assert lines[start + 1].split() == ["up", "delta", "down", "delta"]
    rows = [line.split() for line in lines[start + 2 : start + 12]]
    ups = [float(row[1]) for row in rows]
    assert ups == sorted(ups, reverse=True)
    assert "context genes: " in lines[start + 12]


def test_predict_writes_deltas_contexts_and_a_picture(
    adapert: RunCommand, where: tuple[str, Path], tmp_path: Path
) -> None:
    files = ("--out", "deltas.csv", "--contexts", "contexts.csv", "--picture", "context.png")
    ended = adapert("predict", "forms/001", GENE, "GENE0002", *files, *where)
    assert ended.status == 0
    assert [line for line in ended.out.splitlines() if line.startswith("Wrote ")] == [
        f"Wrote {name}" for name in files[1::2]
    ]
    deltas = pd.read_csv(tmp_path / "deltas.csv", index_col="perturbation")
    assert list(deltas.index) == [GENE, "GENE0002"]
    contexts = pd.read_csv(tmp_path / "contexts.csv")
    assert list(contexts.columns) == list(CONTEXT_COLUMNS)
    assert (tmp_path / "context.png").read_bytes().startswith(b"\x89PNG")


def test_predict_draws_a_picture_for_a_paper_with_its_words_beside_it(
    adapert: RunCommand, where: tuple[str, Path], tmp_path: Path
) -> None:
    ended = adapert("predict", "forms/001", GENE, "--picture", "context.pdf", "--style", "paper", *where)
    assert ended.status == 0
    assert [line for line in ended.out.splitlines() if line.startswith("Wrote ")] == [
        f"Wrote context{ending}" for ending in (".pdf", "_caption.txt", "_caption.tex")
    ]
    assert f"Context of {GENE}: " in (tmp_path / "context_caption.txt").read_text()


def test_predict_reads_names_as_labels_are_read(
    adapert: RunCommand, where: tuple[str, Path], tmp_path: Path
) -> None:
    names = (f" {GENE} ", f"{GENE}+ctrl", f"GENE0002+{GENE}", f"{GENE}_GENE0002")
    assert adapert("predict", "forms/001", *names, "--out", "deltas.csv", *where).status == 0
    deltas = pd.read_csv(tmp_path / "deltas.csv", index_col="perturbation")
    assert list(deltas.index) == [GENE, f"{GENE}+GENE0002"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("forms/001", "gene0001"), "Did you mean 'GENE0001' for 'gene0001'?"),
        (("froms", GENE), "Did you mean 'forms'?"),
        (("forms/003", GENE), "'forms/003' is stopped"),
        (("forms/001", GENE, "--out", "x.xlsx"), "written as .csv, .parquet, .h5ad, but --out is 'x.xlsx'"),
        (("forms/001", GENE, "--picture", "x.gif"), "--picture is 'x.gif'"),
        (("forms/001", GENE, "--picture", "x.png", "--style", "papre"), "Did you mean 'paper'?"),
        (("forms/001", GENE, "--style", "slide"), "--style slide is about a picture, but none was asked for"),
        (("forms/004", GENE, "--contexts", "x.csv"), "trial forms/004 does not. Leave them out."),
        (("forms/005", GENE, "--picture", "x.png"), "ridge_both of trial forms/005, fitted again does not"),
        (("forms/001", GENE, "--data", "nowhere"), "but there is no 'nowhere'"),
        (("forms/001", "ctrl"), "'ctrl' names unperturbed cells"),
        (("forms/001",), "Missing argument"),
    ],
)
def test_predict_refuses_in_a_sentence(
    refused: Refused, where: tuple[str, Path], words: tuple[str, ...], said: str
) -> None:
    assert said in refused("predict", *words, *where)


def test_rerun_prints_each_metric_twice_and_ends_well_where_all_agree(
    adapert: RunCommand, where: tuple[str, Path]
) -> None:
    ended = adapert("rerun", "forms/005", *where)
    assert ended.status == 0, ended.out
    header = next(line for line in ended.out.splitlines() if line.startswith("metric"))
    assert header.split() == ["metric", "tracked", "again", "difference"]
    (row,) = [line.split() for line in ended.out.splitlines() if line.startswith("best_pearson_delta")]
    assert row[1] == row[2]
    assert float(row[3]) == 0
    assert "metrics are exactly those of forms/005." in ended.out
    assert "Changed since forms/005 ran: the commit was abc" in ended.out


def test_rerun_ends_with_1_where_a_metric_differs(
    adapert: RunCommand, trained: Trained, tmp_path: Path
) -> None:
    workspace = tmp_path / "own runs"
    shutil.copytree(trained.workspace, workspace)
    ledger = workspace / "studies" / "forms" / LEDGER_FILE
    lines = [json.loads(line) for line in ledger.read_text().splitlines()]
    (last,) = (line for line in lines if line["event"] == "reported" and line["trial"] == "005")
    last["metrics"]["best_retrieval"] += 0.25
    ledger.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    ended = adapert("rerun", "forms/005", "--workspace", workspace)
    assert ended.status == 1
    assert "metrics differ from those of forms/005, by 0.25 at most." in ended.out


def test_rerun_ends_as_a_study_does_that_is_interrupted(
    adapert: RunCommand, where: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def leave(runner: _OneTrial, resources: Resources) -> None:
        runner.interrupt()

    monkeypatch.setattr("adapert.prediction.rerun.run_trials", leave)
    assert adapert("rerun", "forms/005", *where).status == 130


def test_rerun_refuses_in_a_sentence(refused: Refused, where: tuple[str, Path]) -> None:
    assert "'forms/006' reported no epoch" in refused("rerun", "forms/006", *where)
    assert "There is no study" in refused("rerun", "nothing", *where)
