import ast
import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from fixtures.dataset import build_tiny_dataset

import adapert.config
from adapert.config import Config, read_config
from adapert.config.presets import locate_config, preset_names
from adapert.errors import InputError
from adapert.models.adapert.objective import AdaPertObjective
from adapert.registry import build_model
from adapert.training.fit import begin_fit

PAPER: dict[str, tuple[Any, str]] = {
    "data.control": ("mean", "Fig. 2: x_c is the controls' mean profile"),
    "graph.top_k": (20, "Table 6: top-10 and top-20"),
    "graph.edge_weight": ("uniform", "Eq. 6: 1 / |N(v)|"),
    "graph.edges": ("original", "Eq. 6"),
    "graph.nodes": ("all", "Table 6: all HVGs"),
    "model.name": ("adapert", ""),
    "model.node_features": ("one_hot", "Eq. 5"),
    "model.graph_activation": ("none", "Eq. 6"),
    "model.self_loops": (False, "Eq. 6"),
    "model.residual": (False, "Eq. 6"),
    "model.selection": ("literal", "Eq. 13"),
    "model.context": ("adaptive", "Eq. 12"),
    "model.predict": ("expression", "Eq. 3"),
    "model.own_embedding": ("none", "Eq. 3 and Fig. 2"),
    "model.n_heads": (1, "Eq. 3: one decoder"),
    "model.output_basis": (0, "Eq. 3: it predicts every gene"),
    "model.offset": ("none", "Eq. 3"),
    "loss.lambda_non": (0.01, "Fig. 5 and Sec. 5.5"),
    "loss.non_deg_reduction": ("mean", "Eq. 15 and 16, over the number of genes"),
    "loss.huber_delta_unit": ("standard_deviation", "Eq. 17: proportional to the SD of non-DEG effects"),
    "loss.alignment": ("paper", "Eq. 19: a projection head"),
    "loss.weighting": ("cells", "Eq. 15"),
}
"""What the paper gives, and where."""


def paper() -> Config:
    return read_config(locate_config(Path("paper")))


def test_the_paper_s_preset_is_its_equations_field_by_field() -> None:
    flat = paper().flat()
    assert {field: flat[field] for field in PAPER} == {field: value for field, (value, _) in PAPER.items()}
    unexplained = {field for field, value in Config().flat().items() if value != flat[field]} - PAPER.keys()
    assert unexplained == set()


def test_the_defaults_that_are_not_the_paper_s_are_named() -> None:
    """In the docstring of the configuration, and in the documentation with their reasons."""
    default, preset = Config().flat(), paper().flat()
    differing = {field for field in default if default[field] != preset[field]}
    text = ast.get_docstring(ast.parse(Path(adapert.config.__file__).read_text())) or ""
    assert set(re.findall(r"`((?:model|loss|graph|data)\.\w+)`", text)) == differing
    docs = (Path(__file__).parents[2] / "docs" / "models.md").read_text()
    table = docs.partition("### Where the defaults are not the paper's")[2].partition("\n#")[0]
    rows = dict(re.findall(r"^\| `(\S+)` \| (.*) \|$", table, flags=re.MULTILINE))
    for field in differing:
        ours, theirs, where = rows[field].split(" | ")[:3]
        assert (ours, theirs) == (f"`{show(default[field])}`", f"`{show(preset[field])}`")
        assert where


def show(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def test_the_paper_s_preset_trains_and_its_loss_is_equation_21() -> None:
    dataset = build_tiny_dataset()
    config = paper().with_changes({"training.max_epochs": 3})
    fit = begin_fit(build_model(config, 0, torch.device("cpu")), dataset)
    reports = []
    while not fit.is_over:
        reports.append(fit.step())
    assert len(reports) == 3
    assert all(math.isfinite(report["loss_total"]) for report in reports)
    assert reports[-1]["loss_recon"] < reports[0]["loss_recon"]
    for report in reports:
        parts = report["loss_recon"] + 0.01 * report["loss_non"]
        parts += config.loss.lambda_align * report["loss_align"]
        assert report["loss_total"] == pytest.approx(parts, rel=1e-4)
    assert reports[0]["non_deg_shrinkage"] == pytest.approx(1 / 1.005)


def test_the_head_of_equation_19_is_trained() -> None:
    objective = AdaPertObjective(build_tiny_dataset(), paper(), seed=0)
    assert all(parameter.requires_grad for parameter in objective.target_head.parameters())


def test_presets_are_found_by_name_and_files_by_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert preset_names() == ["paper"]
    Path("mine").write_text("{}")
    for given in ("mine", "paper.yaml", "configs/paper", "no.yaml"):
        assert locate_config(Path(given)) == Path(given)
    Path("paper").write_text("model: {tau: 0.5}")
    assert read_config(locate_config(Path("paper"))) == paper()
    assert locate_config(tmp_path / "paper") == tmp_path / "paper"


def test_a_word_that_is_neither_preset_nor_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"no file and no preset 'papier'\. Did you mean 'paper'\? Presets"):
        locate_config(Path("papier"))
    with pytest.raises(InputError, match=r"no file and no preset 'quux'\. Presets: 'paper'\.$"):
        locate_config(Path("quux"))
