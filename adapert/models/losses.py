"""The three terms of the training objective (Eq. 15 to 21 of the AdaPert paper).

Rows are perturbations, groups or cells. A term is a scalar, the weighted mean over the minibatch's rows, with
weights that average 1 over all training rows, so that a minibatch's gradient is unbiased.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from adapert.config import LossConfig
from adapert.data.schema import FloatArray
from adapert.models.loss_kernels import slope_errors, sum_errors
from adapert.models.side_by_side import map_trials


def response_losses(
    predicted_delta: Tensor,
    target_delta: Tensor,
    non_deg: Tensor,
    huber_delta: Tensor,
    reduction: str,
    weight: Tensor,
) -> tuple[Tensor, Tensor]:
    """Compute the squared error (Eq. 15), and the penalty of change in genes that do not respond (Eq. 16).

    Args:
        predicted_delta: x_hat minus control, log1p units, (n_rows, n_genes), or of several heads,
            (n_heads, n_rows, n_genes), whose losses are averaged.
        target_delta: x minus control, (n_rows, n_genes).
        non_deg: 1 at non-DEGs, else 0, (n_rows, n_genes).
        huber_delta: delta of Eq. 17, log1p units, ().
        reduction: Of the penalty: ``"sum"`` over a row's non-DEGs (Eq. 16), or ``"mean"``, that divided by
            the number of all genes: with the error's mean, Eq. 15 and 16 to the letter but for a factor of
            both.
        weight: (n_rows,).

    Returns:
        Mean over genes of the squared error, ||x_hat - x||^2 / N, which the text of Eq. 15 calls a mean; and
        the Huber penalty.
    """
    n_genes = predicted_delta.shape[-1]
    is_fused = predicted_delta.device.type == "cpu" and predicted_delta.dtype == torch.float32
    errors = fused_errors if is_fused else plain_errors
    squared, penalty = errors(predicted_delta, target_delta, non_deg, huber_delta)
    if reduction == "mean":
        penalty = penalty / n_genes
    return (weight * (squared / n_genes)).mean(), (weight * penalty).mean()


def plain_errors(
    predicted_delta: Tensor, target_delta: Tensor, non_deg: Tensor, huber_delta: Tensor
) -> tuple[Tensor, Tensor]:
    """Sum each row's squared error, and Huber's penalty over its non-DEGs; as in `response_losses`."""
    squared = (predicted_delta - target_delta).square().sum(dim=-1)
    return squared, (huber(predicted_delta, huber_delta) * non_deg).sum(dim=-1)


def fused_errors(
    predicted_delta: Tensor, target_delta: Tensor, non_deg: Tensor, huber_delta: Tensor
) -> tuple[Tensor, Tensor]:
    """Do what `plain_errors` does in one pass on a CPU, and its gradient in another."""
    return _FusedErrors.apply(predicted_delta, target_delta, non_deg, huber_delta)  # type: ignore[no-any-return, no-untyped-call]


class _FusedErrors(torch.autograd.Function):
    """See `adapert.models.loss_kernels` for the equations."""

    @staticmethod
    def forward(
        predicted_delta: Tensor, target_delta: Tensor, non_deg: Tensor, huber_delta: Tensor
    ) -> tuple[Tensor, Tensor]:
        squared, penalty = predicted_delta.new_empty(2, *predicted_delta.shape[:-1])
        given = _rows(predicted_delta, target_delta, non_deg)
        sum_errors(*given, float(huber_delta), squared.view(-1).numpy(), penalty.view(-1).numpy())
        return squared, penalty

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, Tensor]) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        *inputs, huber_delta = ctx.saved_tensors
        to_squared, to_penalty = (gradient.contiguous().view(-1).numpy() for gradient in gradients)
        to_predicted = torch.empty_like(inputs[0], memory_format=torch.contiguous_format)
        slope_errors(*_rows(*inputs), float(huber_delta), to_squared, to_penalty, *_rows(to_predicted))
        return to_predicted, None, None, None

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int | None, ...], *inputs: Tensor
    ) -> tuple[tuple[Tensor, ...], tuple[int, int]]:
        """Sum trial by trial: Huber's delta is each trial's own."""
        stacked = map_trials(_stacked_errors, info.batch_size, in_dims, inputs)
        return stacked.unbind(1), (0, 0)


def _stacked_errors(*inputs: Tensor) -> Tensor:
    return torch.stack(fused_errors(*inputs))


def _rows(*tensors: Tensor) -> list[FloatArray]:
    """View (..., n_genes) as (n_rows, n_genes)."""
    return [tensor.detach().contiguous().view(-1, tensor.shape[-1]).numpy() for tensor in tensors]


def huber(residual: Tensor, delta: Tensor) -> Tensor:
    """r^2 / 2 within delta, delta (|r| - delta / 2) beyond (Eq. 17), as `residual`."""
    return _Huber.apply(residual, delta)[0]  # type: ignore[no-any-return, no-untyped-call]


class _Huber(torch.autograd.Function):
    """With c = r clamped to +-delta: c (r - c / 2), whose derivative is c. It takes a third of the passes."""

    generate_vmap_rule = True

    @staticmethod
    def forward(residual: Tensor, delta: Tensor) -> tuple[Tensor, Tensor]:
        clamped = residual.clamp(-delta, delta)
        return clamped * (residual - clamped / 2), clamped

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: tuple[Tensor, Tensor]) -> None:
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(output[1])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (clamped,) = ctx.saved_tensors
        return gradients[0] * clamped, None


def cosine_alignment(context: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """||z / |z| - t / |t|||^2 (Eq. 20).

    Args:
        context: z of each perturbation, (n_perturbations, size).
        target: t of each perturbation (Eq. 19), (n_perturbations, size).
        weight: 0 for perturbations without a DEG, (n_perturbations,).
    """
    unit_context, unit_target = normalize(context, dim=1), normalize(target, dim=1)
    return (weight * (unit_context - unit_target).square().sum(dim=1)).mean()


def contrastive_alignment(context: Tensor, target: Tensor, weight: Tensor, temperature: float) -> Tensor:
    """InfoNCE of each context with its own target against the minibatch's other targets.

    Not in the paper; unlike Eq. 20 with a trainable g, one direction for all is not a minimum.
    Arguments as `cosine_alignment`. Perturbations of weight 0 are no alternatives either.
    """
    logits = normalize(context, dim=1) @ normalize(target, dim=1).T / temperature
    logits = logits.masked_fill((weight == 0).unsqueeze(0), torch.finfo(logits.dtype).min)
    own = torch.arange(len(context), device=context.device)
    entropy = cross_entropy(logits, own, reduction="none")
    return (weight * torch.where(weight == 0, 0, entropy)).mean()


def alignment_loss(config: LossConfig) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """Pick L_align as `loss.alignment` says: a function of context, target and weight."""
    if config.alignment == "contrastive":
        return partial(contrastive_alignment, temperature=config.contrastive_temperature)
    return cosine_alignment


def non_deg_shrinkage(lambda_non: float, reduction: str, n_genes: int) -> float:
    """Expected amplitude of quadratic-regime non-DEG predictions relative to lambda_non = 0.

    Minimising (d - t)^2 / N + lambda d^2 / 2 gives d = t / (1 + lambda N / 2) for the sum of Eq. 16;
    with its mean over genes the factor is 1 / (1 + lambda / 2).
    """
    return 1 / (1 + lambda_non * (n_genes if reduction == "sum" else 1) / 2)
