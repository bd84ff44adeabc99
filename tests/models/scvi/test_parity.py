"""Agreement with scvi-tools 1.4.2, by its weights."""

from functools import partial
from typing import Any

import pytest
import torch
from fixtures.builders import SmallScvi
from fixtures.dataset import N_GENES, build_tiny_dataset
from torch import Tensor

from adapert.config import Config
from adapert.models.network import Batch
from adapert.models.scvi.model import LEAST_SD, Scvi, ScviPrediction
from adapert.models.scvi.objective import ScviObjective

# To import the package takes 10 s.
pytestmark = pytest.mark.slow

assert_close = partial(torch.testing.assert_close, rtol=1e-5, atol=1e-5)

LAYER = {"0": "maps", "1": "norms"}
HEADS = {
    "z_encoder.mean_encoder": "posterior_mean",
    "z_encoder.var_encoder": "posterior_variance",
    "decoder.px_scale_decoder.0": "output",
}
UNUSED = ("l_encoder", "decoder.px_dropout_decoder", "decoder.px_r_decoder")
"""Parts of theirs that a Gaussian likelihood of a gene's own variance does not read."""


def translate(theirs: dict[str, Tensor]) -> dict[str, Tensor]:
    ours = {"raw_log_sd": torch.log(theirs["px_r"].exp() - LEAST_SD)}
    for name, value in theirs.items():
        part, _, rest = name.partition(".fc_layers.Layer ")
        head, _, field = name.rpartition(".")
        if rest:
            number, layer, field = rest.split(".")
            owner = {"z_encoder.encoder": "encoder", "decoder.px_decoder": "decoder"}.get(part)
            if owner:
                ours[f"{owner}.{LAYER[layer]}.{number}.{field}"] = value
        elif head in HEADS:
            ours[f"{HEADS[head]}.{field}"] = value
        else:
            assert name == "px_r" or name.startswith(UNUSED), name
    return ours


def build_both(small_scvi: SmallScvi, n_layers: int) -> tuple[Any, Scvi]:
    """Their module with drawn weights and statistics, and ours with the same."""
    module = pytest.importorskip("scvi.module", reason="the extra 'parity' is not installed")
    theirs = module.VAE(
        n_input=N_GENES,
        n_hidden=8,
        n_latent=3,
        n_layers=n_layers,
        gene_likelihood="normal",
        log_variational=False,  # ours are log1p values already
        use_size_factor_key=True,  # and of cells of one size: a factor of 1
        use_batch_norm="encoder",
    )
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, tensor in theirs.state_dict().items():
            if tensor.is_floating_point():
                drawn = torch.randn(tensor.shape, generator=generator) / 2
                tensor.copy_(drawn.abs() + 0.5 if name.endswith("running_var") else drawn)
    own = small_scvi({"scvi.n_layers": n_layers})
    missing = own.load_state_dict(translate(theirs.state_dict()), strict=False).missing_keys
    assert sorted(missing) == ["cells", "effects.effects"]
    return theirs.eval(), own.eval()


@pytest.mark.parametrize("n_layers", [1, 2])
def test_posterior_decoded_mean_and_bound_are_those_of_the_published_module(
    small_scvi: SmallScvi, small_config: Config, n_layers: int
) -> None:
    theirs, own = build_both(small_scvi, n_layers)
    cells = torch.rand(20, N_GENES, generator=torch.Generator().manual_seed(1)) * 3
    none = torch.zeros(20, 1)
    tensors = {"X": cells, "batch": none, "labels": none, "size_factor": torch.ones(20, 1)}
    with torch.no_grad():
        inferred, generated, loss = theirs(tensors, loss_kwargs={"kl_weight": 0.7})
        posterior = own.encode(cells)
        mean = own.decode(inferred["z"])
        prediction = ScviPrediction(mean, {}, cells, mean, own.log_sd, posterior.divergence())
        objective = ScviObjective(build_tiny_dataset(), small_config.with_changes({"scvi.beta": 0.7}), 0)
        losses = objective(prediction, Batch(torch.arange(1), none[:, 0].long(), cells, none[:, 0] + 1))
    assert_close(posterior.mean, inferred["qz"].loc)
    assert_close(posterior.log_variance.exp(), inferred["qz"].variance)
    assert_close(mean, generated["px"].loc)
    assert_close(own.log_sd.exp(), generated["px"].scale[0])
    assert_close(losses["loss_recon"], loss.reconstruction_loss["reconstruction_loss"].mean())
    assert_close(losses["loss_kl"], loss.kl_local["kl_divergence_z"].mean())
    assert_close(losses["loss_total"], loss.loss)
