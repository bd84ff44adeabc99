import torch

from adapert.models.encoders import Perceptron, TextTable, drop


def test_perceptron_equals_a_plain_loop() -> None:
    torch.manual_seed(0)
    perceptron, x = Perceptron(3, 4, 2, dropout=0.5), torch.tensor([[1.0, -2.0, 0.5]])
    hidden = [
        max(0.0, sum(w * v for w, v in zip(row, x[0].tolist(), strict=True)) + bias)
        for row, bias in zip(perceptron.first.weight.tolist(), perceptron.first.bias.tolist(), strict=True)
    ]
    expected = [
        sum(w * v for w, v in zip(row, hidden, strict=True)) + bias
        for row, bias in zip(perceptron.second.weight.tolist(), perceptron.second.bias.tolist(), strict=True)
    ]
    torch.testing.assert_close(perceptron(x, None), torch.tensor([expected]))


def test_dropout_scales_what_it_keeps_and_follows_the_generator() -> None:
    x = torch.ones(2000)
    dropped = drop(x, 0.2, torch.Generator().manual_seed(0))
    assert set(dropped.tolist()) == {0.0, 1.25}
    assert 0.17 < (dropped == 0).float().mean() < 0.23
    assert torch.equal(dropped, drop(x, 0.2, torch.Generator().manual_seed(0)))
    assert not torch.equal(dropped, drop(x, 0.2, torch.Generator().manual_seed(1)))


def test_nothing_is_dropped_without_a_generator_or_at_fraction_0() -> None:
    x = torch.arange(5.0)
    assert torch.equal(drop(x, 0.9, None), x)
    assert torch.equal(drop(x, 0.0, torch.Generator()), x)


def test_gene_without_text_gets_the_learned_vector() -> None:
    table = TextTable(torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.6, 0.8]]), torch.tensor([True, False, True]))
    torch.testing.assert_close(
        table(), torch.stack([torch.tensor([1.0, 0.0]), table.absent, torch.tensor([0.6, 0.8])])
    )
    nodes = torch.tensor([[2, 1], [1, 0]])
    assert torch.equal(table(nodes), table()[nodes])


def test_only_genes_without_text_teach_the_learned_vector() -> None:
    table = TextTable(torch.eye(3), torch.tensor([True, False, True]))
    (of_known,) = torch.autograd.grad(table()[[0, 2]].sum(), table.absent)
    (of_absent,) = torch.autograd.grad(table()[1].sum(), table.absent)
    assert of_known.abs().sum() == 0
    assert of_absent.tolist() == [1.0, 1.0, 1.0]
