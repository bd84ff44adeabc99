"""How much each graph system gains from its network, and how much noise in it costs."""

from typing import Any

from adapert.config import Config, is_network, model_names, read_sections
from adapert.statistics.questions import name_noise
from adapert.study.plan.peers import changes_to, published_config
from adapert.study.plan.study import Design, Study

DOSES = {"kept": (0.9, 0.75, 0.5, 0.2, 0.0), "added": (0.1, 0.25), "rewired": (0.1, 0.25, 0.5, 1.0)}
"""Noise to fractions of the edges of `graph.top_k`: APP's paper has those kept to .75 and added."""


def study(base: Config) -> Study:
    """Each system on its network as it is and at eleven doses of noise, three seeds each."""
    variants = {
        name: changes | noise
        for system, changes in list_systems(base).items()
        for name, noise in doses_of(system).items()
    }
    return Study(
        name="network_noise",
        question="What is the network worth to each system, and what does noise in it cost?",
        base=base,
        plan=Design(kind="noise", variants=variants),
    )


def list_systems(base: Config) -> dict[str, dict[str, Any]]:
    """Every system that is trained in epochs on a network, by name, with what makes it of the base config.

    Each is in its published form, as peers are. APP is also there with the perturbed gene, where the base
    config leaves it out: to the letter it hardly tells perturbations apart, with any network.
    """
    names = [name for name in model_names() if is_network(name) and "graph" in read_sections(name)]
    systems = {name: changes_to(published_config(name, base), base) for name in names}
    if not base.app.own_gene:
        systems["app_own_gene"] = systems["app"] | {"model.name": "app", "app.own_gene": True}
    return systems


def doses_of(system: str) -> dict[str, dict[str, Any]]:
    """Variants of a system: without noise, then one a dose."""
    return {system: {}} | {
        name_noise(system, noise, fraction): {f"graph.{noise}_fraction": fraction}
        for noise, fractions in DOSES.items()
        for fraction in fractions
    }
