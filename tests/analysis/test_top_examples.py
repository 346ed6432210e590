"""The strongest inputs of a latent."""

import torch

from saelab.analysis.top_examples import top_examples


def test_rows_in_order_and_blanks_where_silent():
    codes = torch.tensor([[0.0, 3.0, 0.0], [2.0, 1.0, 0.0], [0.0, 2.0, 0.0]])
    top = top_examples(codes, latents=torch.tensor([1, 0]), k=4)
    assert top.item.tolist() == [[0, 2, 1, -1], [1, -1, -1, -1]]
    assert top.value.tolist() == [[3, 2, 1, 0], [2, 0, 0, 0]]


def test_an_item_appears_once_by_its_strongest_row():
    codes = torch.tensor([[1.0], [5.0], [4.0], [2.0]])
    top = top_examples(codes, latents=torch.tensor([0]), k=2, item=torch.tensor([7, 7, 7, 3]))
    assert top.item.tolist() == [[7, 3]]
    assert top.value.tolist() == [[5, 2]]
