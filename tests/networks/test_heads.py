"""Heads against PyTorch's own losses, and against what they report."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from repbias.networks.heads import Heads


@pytest.mark.parametrize(
    ("classes", "two_classes", "widths"),
    [
        ([2, 2], "sigmoid", [1, 1]),
        ([2, 2], "softmax", [2, 2]),
        ([2, 5, 3], "sigmoid", [1, 5, 3]),
        ([2, 5], "softmax", [2, 5]),
    ],
)
def test_widths(classes, two_classes, widths):
    heads = Heads.of(classes, two_classes)
    assert (heads.widths, heads.n_outputs) == (widths, sum(widths))


def test_what_is_reported():
    logits = np.array([[0.1, 3, 1, 2], [-0.1, 0, 1, 2]])
    np.testing.assert_array_equal(Heads([1, 3]).reported(logits), [[1, 0], [0, 2]])
    np.testing.assert_array_equal(Heads([1, 1]).reported(logits), [[1, 1], [0, 0]])


@pytest.mark.parametrize("padding", [0, 5])
def test_losses_are_those_of_pytorch(padding):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4, 6, 1 + 3 + 2 + padding, generator=generator)
    labels = torch.randint(2, (4, 6, 3), generator=generator).float()
    labels[..., 1] = torch.randint(3, (4, 6), generator=generator).float()
    found = Heads([1, 3, 2]).losses(logits, F.pad(labels, (0, padding)))
    assert found.shape == (4, 6, 3 + padding)
    binary = F.binary_cross_entropy_with_logits(logits[..., 0], labels[..., 0], reduction="none")
    torch.testing.assert_close(found[..., 0], binary)
    for i, part in ((1, slice(1, 4)), (2, slice(4, 6))):
        expected = F.cross_entropy(
            logits[..., part].flatten(0, 1), labels[..., i].flatten().long(), reduction="none"
        )
        torch.testing.assert_close(found[..., i].flatten(), expected)


def test_a_softmax_of_two_classes_is_a_sigmoid_of_their_difference():
    logits = torch.randn(50, 2, generator=torch.Generator().manual_seed(1))
    labels = torch.arange(50)[:, None].remainder(2).float()
    torch.testing.assert_close(
        Heads([2]).losses(logits, labels),
        Heads([1]).losses(logits[:, 1:] - logits[:, :1], labels),
    )
