from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from adapert.config import Config
from adapert.data.prepared import PreparedDataset
from adapert.errors import InputError
from adapert.prediction.genes import check_perturbations, indistinct_genes

KNOWN = ["KLF1", "MAP2K6", "CEBPA", "C1orf112"]


def test_each_perturbation_comes_once_in_the_order_of_asking() -> None:
    asked = ["MAP2K6", "KLF1+MAP2K6", "KLF1 + MAP2K6", "MAP2K6"]
    assert check_perturbations(asked, KNOWN) == ["MAP2K6", "KLF1+MAP2K6"]


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        (" KLF1 ", "KLF1"),
        ("KLF1+ctrl", "KLF1"),
        ("ctrl+KLF1", "KLF1"),
        ("MAP2K6+KLF1", "KLF1+MAP2K6"),
        ("MAP2K6_KLF1", "KLF1+MAP2K6"),
        ("KLF1_NegCtrl0__KLF1_NegCtrl0", "KLF1"),
        ("KLF1_2", "KLF1"),
    ],
)
def test_what_is_asked_for_is_read_as_labels_of_data_are(asked: str, name: str) -> None:
    assert check_perturbations([asked], KNOWN) == [name]


@pytest.mark.parametrize(
    ("asked", "match"),
    [
        (["ctrl"], "'ctrl' names unperturbed cells"),
        (["unassigned"], "'unassigned' is a word for cells not assigned to a perturbation"),
        (["nan"], "'nan' is a word for cells without a label"),
        (["klf1"], r"'klf1' is not. Did you mean 'KLF1' for 'klf1'\?$"),
        (["C1ORF112"], r"Did you mean 'C1orf112' for 'C1ORF112'\?$"),
        (["KLF1+KLF2", "MAP2K7"], r"'KLF2', 'MAP2K7' are not. Did you mean 'KLF1' for 'KLF2', 'MAP2K6' for"),
        (["?"], r"one of the 4 genes that the model knows, but '\?' is not. Write symbols as"),
        (["KLF1+"], r"but 'KLF1\+' has an empty one"),
        (["KLF1+KLF1"], r"but 'KLF1\+KLF1' names one twice"),
        ([], "none was named"),
    ],
)
def test_what_no_model_can_answer_is_refused_in_a_sentence(asked: list[str], match: str) -> None:
    with pytest.raises(InputError, match=match):
        check_perturbations(asked, KNOWN)


def test_many_unknown_genes_are_counted() -> None:
    with pytest.raises(InputError, match="'X0', 'X1', 'X2', 'X3', 'X4' and 2 more are not"):
        check_perturbations([f"X{number}" for number in range(7)], KNOWN)


def test_a_gene_is_indistinct_where_it_has_neither_text_nor_edges(tiny_dataset: PreparedDataset) -> None:
    # The last node is isolated and has no text; node 3 has no text, but edges.
    asked = ["G03", "G14", "G00+G14"]
    assert indistinct_genes(tiny_dataset.shared, Config(), asked, 0) == ["G14"]
    with_text = replace(tiny_dataset.shared, has_text=tiny_dataset.shared.has_text | True)
    assert indistinct_genes(with_text, Config(), asked, 0) == []


def test_text_tells_no_gene_apart_for_a_model_that_reads_none(tiny_dataset: PreparedDataset) -> None:
    with_text = replace(tiny_dataset.shared, has_text=tiny_dataset.shared.has_text | True)
    txpert = Config().with_changes({"model.name": "txpert"})
    assert indistinct_genes(with_text, txpert, ["G03", "G14"], 0) == ["G14"]


@pytest.mark.parametrize(
    ("changes", "blank"),
    [
        ({"model.name": "app"}, ["G14"]),
        ({"model.name": "app", "app.node_features": "one_hot", "app.n_layers": 0}, ["G00", "G03", "G14"]),
        ({"model.name": "app", "app.n_layers": 0}, ["G03", "G14"]),
        ({"model.name": "txpert", "txpert.n_layers": 0}, ["G00", "G03", "G14"]),
        ({"model.n_graph_layers": 0, "model.node_features": "text"}, ["G03", "G14"]),
        ({"model.n_graph_layers": 0, "model.node_features": "text+spectral"}, ["G14"]),
        ({"model.n_graph_layers": 0, "model.context": "neighbourhood"}, ["G14"]),
    ],
)
def test_what_a_model_does_not_read_tells_no_gene_apart(
    tiny_dataset: PreparedDataset, changes: dict[str, Any], blank: list[str]
) -> None:
    config = Config().with_changes(changes)
    assert indistinct_genes(tiny_dataset.shared, config, ["G00", "G03", "G14"], 0) == blank


def test_edges_that_carry_no_message_tell_no_gene_apart(tiny_dataset: PreparedDataset) -> None:
    shared = tiny_dataset.shared
    without = replace(shared, edge_score=shared.edge_score * 0, has_text=np.zeros_like(shared.has_text))
    assert indistinct_genes(
        without, Config().with_changes({"graph.edge_weight": "confidence"}), ["G00"], 0
    ) == ["G00"]
    assert indistinct_genes(without, Config(), ["G00"], 0) == []
