"""Dense heads: one slice of the output for each kind of word, then offsets, then identity."""

import pytest
import torch

from deixis.nn.dense import DenseHeads

WORDS = {"category": 5, "colour": 3}


@pytest.fixture
def heads() -> DenseHeads:
    torch.manual_seed(0)
    heads = DenseHeads(in_width=6, words=WORDS, identity_width=4).eval()
    for weight in heads.parameters():
        torch.nn.init.normal_(weight, std=0.5)
    return heads


def test_every_kind_has_its_own_channels_and_none_is_forgotten(heads):
    features = torch.randn(2, 6, 7, 9)
    maps, raw = heads(features), heads.out(heads.body(features))
    assert raw.shape[1] == (1 + 5) + (1 + 3) + 2 + 4
    torch.testing.assert_close(maps.logits["category"], raw[:, :6])
    torch.testing.assert_close(maps.logits["colour"], raw[:, 6:10])
    torch.testing.assert_close(maps.offset, raw[:, 10:12])
    expected = raw[:, 12:] / raw[:, 12:].norm(dim=1, keepdim=True)
    torch.testing.assert_close(maps.identity, expected)


def test_words_and_none_of_them_share_one_probability(heads):
    maps = heads(torch.randn(2, 6, 7, 9))
    words, foreground = maps.probabilities("category"), maps.foreground("category")
    assert words.shape == (2, 5, 7, 9)
    torch.testing.assert_close(words.sum(1), foreground)
    expected = maps.logits["category"].exp()[:, 1:] / maps.logits["category"].exp().sum(1)[:, None]
    torch.testing.assert_close(words, expected)


def test_every_weight_learns(heads):
    maps = heads.train()(torch.randn(2, 6, 7, 9))
    loss = sum(p.square().sum() for p in maps.logits.values())
    (loss + maps.offset.square().sum() + maps.identity[:, 0].sum()).backward()
    assert all(p.grad is not None and p.grad.any() for p in heads.parameters())


def test_parts_are_raised_as_far_as_a_cell_is_of_a_category():
    torch.manual_seed(0)
    maps = DenseHeads(6, {"category": 2, "part": 3}, 4)(torch.randn(1, 6, 3, 5))
    gains = torch.zeros(1 + 2, 1 + 3)
    gains[2, 3] = 5.0
    raised = maps.opened(gains.tolist()).logits["part"] - maps.logits["part"]
    assert not raised[:, :3].any()
    torch.testing.assert_close(raised[:, 3], 5 * maps.probabilities("category")[:, 1])
