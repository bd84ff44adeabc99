import torch

from adapert.models.encoders import Perceptron, TextTable


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
