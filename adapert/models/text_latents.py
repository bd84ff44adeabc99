"""What systems of cells know of a perturbation: the text of its genes."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from adapert.config import Config
from adapert.data.prepared import PreparedDataset
from adapert.models.encoders import TextTable, build_text_tables
from adapert.models.targets import Targets


class TextLatents(nn.Module):
    """The sum over a perturbation's genes g of MLP(s_g); no perturbation is 0, the sum over no genes.

    Each source of embeddings has a projection of its own to the hidden units, and the projections are summed.
    """

    def __init__(self, tables: Sequence[TextTable], hidden_size: int, size: int) -> None:
        """Make the maps, drawn from torch's global generator.

        Args:
            tables: s_g of each source, a row a node of the data set.
            hidden_size: Hidden units.
            size: Of a perturbation's latents.
        """
        super().__init__()
        self.tables = nn.ModuleList(tables)
        self.projections = nn.ModuleList(nn.Linear(table.size, hidden_size, bias=False) for table in tables)
        for projection in self.projections:
            # Rows have length 1: by torch's default they would hardly count beside the bias.
            nn.init.normal_(projection.weight)  # type: ignore[arg-type]
        self.bias = nn.Parameter(torch.zeros(hidden_size))
        self.second = nn.Linear(hidden_size, size)

    def forward(self, targets: Targets) -> Tensor:
        """Compute the latents of perturbations, (n_perturbations, size)."""
        known = zip(self.tables, self.projections, strict=True)
        parts = torch.stack([projection(table(targets.nodes)) for table, projection in known])
        of_genes = self.second(torch.relu(self.bias + parts.sum(dim=0)))
        return (of_genes * targets.is_gene.unsqueeze(-1)).sum(dim=1)  # type: ignore[no-any-return]


def build_text_latents(
    dataset: PreparedDataset, config: Config, seed: int, hidden_size: int, size: int
) -> TextLatents:
    """Build the maps from the sources that a config picks; the seed shuffles genes where it asks for it."""
    # Of no graph: every node of the data set has its text, whatever the section `graph` says.
    tables = build_text_tables(dataset, Config(data=config.data), seed)
    return TextLatents(tables, hidden_size, size)
