import torch
from torch import nn

from adapert.models.morph.attention import ProgramAttention


def draws(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_attention_over_programs_is_torchs_multihead_attention_of_one_head() -> None:
    layer = ProgramAttention(size=6, program_size=4)
    q, programs = draws(5, 6, seed=0), draws(3, 4, seed=1)
    expected = nn.MultiheadAttention(6, num_heads=1, kdim=4, vdim=4)
    with torch.no_grad():
        for own, name in ((layer.query, "q"), (layer.key, "k"), (layer.value, "v")):
            getattr(expected, f"{name}_proj_weight").copy_(own.weight)
        expected.in_proj_bias.copy_(torch.cat([layer.query.bias, layer.key.bias, layer.value.bias]))
        expected.out_proj.weight.copy_(torch.eye(6))  # the equation has no projection of what is attended to
        expected.out_proj.bias.zero_()
        found = layer.attend(q, programs)
        attended, _ = expected(q, programs, programs)
        torch.testing.assert_close(found, attended)
        updated = q + attended
        normed = nn.functional.layer_norm(updated, (6,))
        torch.testing.assert_close(layer(q, programs), updated + layer.feedforward(normed))


def test_the_order_of_programs_says_nothing() -> None:
    layer, q, programs = ProgramAttention(6, 4), draws(5, 6, seed=0), draws(3, 4, seed=1)
    torch.testing.assert_close(layer(q, programs.flip(0)), layer(q, programs))
