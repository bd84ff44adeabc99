import pytest

from adapert.data.labels.spellings import Spellings
from adapert.errors import InputError

ALIASES = {"EKLF": ("KLF1",), "KLF1": ("EKLF",)}


def test_gene_of_one_spelling_keeps_it() -> None:
    assert Spellings(["KLF1", "SET"], ALIASES).of("KLF1") == "KLF1"


@pytest.mark.parametrize(
    "genes", [["KLF1", "klf1"], ["KLF1", "EKLF"], ["KLF1", "eklf", "EKLF"], ["ENSG1.2", "ENSG1.3"]]
)
def test_all_spellings_of_a_gene_become_one_in_any_order(genes: list[str]) -> None:
    for order in (genes, genes[::-1]):
        spellings = Spellings(order, ALIASES)
        assert len({spellings.of(gene) for gene in genes}) == 1


def test_spelling_of_lowest_rank_stands_for_the_gene() -> None:
    spellings = Spellings(["KLF1", "EKLF"], ALIASES, rank=lambda gene: gene == "EKLF")
    assert spellings.of("EKLF") == "KLF1"


@pytest.mark.parametrize(("name", "spelling"), [("EKLF", "KLF1"), ("klf1", "KLF1"), ("NOBODY", "NOBODY")])
def test_spelling_that_does_not_occur_is_found_among_those_that_do(name: str, spelling: str) -> None:
    assert Spellings(["KLF1", "SET"], ALIASES).of(name) == spelling


def test_set_of_genes_has_one_name() -> None:
    spellings = Spellings(["KLF1", "EKLF", "SET"], ALIASES)
    assert spellings.name_of(["SET", "KLF1"]) == spellings.name_of(["EKLF", "SET"]) == "EKLF+SET"


def test_symbol_of_two_genes_that_occur_is_refused() -> None:
    aliases = {"OLD": ("KLF1", "SET"), "KLF1": ("OLD",), "SET": ("OLD",)}
    spellings = Spellings(["KLF1", "SET"], aliases)
    assert [spellings.of(gene) for gene in ("KLF1", "SET", "OLD")] == ["KLF1", "SET", "OLD"]
    with pytest.raises(InputError, match="'KLF1', 'OLD', 'SET' it pairs some and not others"):
        Spellings(["KLF1", "SET", "OLD"], aliases)
