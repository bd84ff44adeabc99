import pytest
import torch
from torch import nn

from adapert.models.heads import HeadLinear, HeadPerceptron


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("shape", [(5, 3), (2, 5, 3)])
def test_each_head_is_a_linear_map_of_its_own(shape: tuple[int, ...]) -> None:
    heads, x = HeadLinear(2, 3, 4, sd=1.0), torch.randn(shape)
    nn.init.normal_(heads.bias)
    for head, mapped in enumerate(heads(x)):
        own = x if x.ndim == 2 else x[head]
        expected = nn.functional.linear(own, heads.weight[head].T, heads.bias[head, 0])
        torch.testing.assert_close(mapped, expected)


@pytest.mark.parametrize("n_layers", [1, 3])
def test_each_head_equals_torchs_perceptron(n_layers: int) -> None:
    heads, x = HeadPerceptron(2, 3, 4, n_layers, 5, dropout=0.5), torch.randn(2, 6, 3)
    for head in range(2):
        layers: list[nn.Module] = []
        for part in [*heads.hidden, heads.last]:
            assert isinstance(part, HeadLinear)
            linear = nn.Linear(*part.weight.shape[1:])
            linear.load_state_dict({"weight": part.weight[head].T, "bias": part.bias[head, 0]})
            layers += [linear, nn.ReLU()]
        torch.testing.assert_close(heads(x, None)[head], nn.Sequential(*layers[:-1])(x[head]))


def test_hidden_units_keep_their_size_and_outputs_begin_near_0() -> None:
    heads = HeadPerceptron(1, 400, 400, 4, 300, dropout=0.0)
    x = torch.randn(1, 200, 400)
    hidden = x
    for layer in heads.hidden:
        hidden = torch.relu(layer(hidden))
    # He's variance: the mean square after a ReLU stays that of the inputs.
    assert hidden.square().mean().item() == pytest.approx(1.0, rel=0.2)
    assert heads(x, None).std().item() == pytest.approx(0.1, rel=0.2)


def test_dropout_is_of_the_last_hidden_units_alone() -> None:
    heads, x = HeadPerceptron(1, 3, 8, 2, 4, dropout=0.5), torch.randn(1, 5, 3)
    nn.init.zeros_(heads.last.weight)
    generator = torch.Generator().manual_seed(0)
    torch.testing.assert_close(heads(x, generator), heads(x, None))
    nn.init.ones_(heads.last.weight)
    assert not torch.allclose(heads(x, generator), heads(x, None))
