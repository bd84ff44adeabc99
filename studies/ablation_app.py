"""APP without its network, its attention or its light decoder, as in its Table 2; and what it lacks."""

from typing import Any

from adapert.config import Config
from adapert.study.plan.study import Design, Study

TABLE_2: dict[str, dict[str, Any]] = {
    "full": {},
    "random_embeddings": {"app.node_features": "random", "app.n_layers": 0},
    "identity_embeddings": {"app.node_features": "one_hot", "app.n_layers": 0},
    "no_attention": {"app.attention": "none"},
    "mlp_decoder": {"app.decoder": "mlp"},
}


def study(base: Config) -> Study:
    """Six variants, three seeds each; the last adds the perturbed gene itself, which is not in the paper.

    From a base config that has the gene, it is taken away.
    """
    has_gene = base.app.own_gene
    own_gene = {"no_own_gene" if has_gene else "own_gene": {"app.own_gene": not has_gene}}
    return Study(
        name="ablation_app",
        question="What are APP's network, attention and light decoder worth, and the perturbed gene itself?",
        base=base.with_changes({"model.name": "app"}),
        plan=Design(kind="ablation", variants=TABLE_2 | own_gene),
    )
