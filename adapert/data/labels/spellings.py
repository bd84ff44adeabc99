"""Which spellings name the same gene, so that no gene is two perturbations."""

from collections.abc import Callable, Iterable

from adapert.data.labels.aliases import Aliases
from adapert.data.labels.rule import fold
from adapert.data.schema import GENE_SEPARATOR
from adapert.errors import InputError, name_some


class Spellings:
    """The spelling that stands for each gene of some data.

    Two spellings are of one gene where they differ in case or in an Ensembl number's version, or where
    the alias table pairs them.
    """

    def __init__(
        self, genes: Iterable[str], aliases: Aliases, rank: Callable[[str], int] | None = None
    ) -> None:
        """Choose the spellings.

        Args:
            genes: All that occur in the data.
            aliases: Other names of a symbol.
            rank: Rank of a spelling: the lowest of a gene stands for it, of several the first.

        Raises:
            InputError: A symbol that is paired with several genes, which are not paired themselves.
        """
        self._paired: dict[str, set[str]] = {}
        for name, others in aliases.items():
            self._paired.setdefault(fold(name), set()).update(map(fold, others))
        self._by_fold: dict[str, list[str]] = {}
        occurring = sorted(set(genes), key=lambda gene: (rank(gene) if rank else 0, gene))
        for gene in occurring:
            self._by_fold.setdefault(fold(gene), []).append(gene)
        order = {gene: place for place, gene in enumerate(occurring)}
        self._chosen = {gene: min(self._same_or_refuse(gene), key=order.__getitem__) for gene in occurring}

    def of(self, gene: str) -> str:
        """Give the spelling that stands for a gene; one that is of none in the data, or of several, stays."""
        if gene in self._chosen:
            return self._chosen[gene]
        found = {self._chosen[same] for same in self._same(gene)}
        return found.pop() if len(found) == 1 else gene

    def name_of(self, genes: Iterable[str]) -> str:
        """Name a set of genes: their spellings, each once, sorted, joined by ``+``."""
        return GENE_SEPARATOR.join(sorted({self.of(gene) for gene in genes}))

    def _same(self, gene: str) -> list[str]:
        """List the spellings in the data of a gene: the gene itself first where it occurs."""
        own = fold(gene)
        names = (own, *sorted(self._paired.get(own, set()) - {own}))
        return [same for name in names for same in self._by_fold.get(name, ())]

    def _same_or_refuse(self, gene: str) -> list[str]:
        same = self._same(gene)
        all_paired = {name for other in same for name in self._same(other)}
        if all_paired != set(same):
            raise InputError(
                "The alias table must pair symbols of one gene, but of the perturbed genes "
                f"{name_some(sorted(all_paired))} it pairs some and not others. Remove its wrong lines, or "
                "pair them all."
            )
        return same
