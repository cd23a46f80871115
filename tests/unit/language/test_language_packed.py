"""Rows that begin alike, read together: the same states as each row gets alone."""

import pytest
import torch
from decoders import ATTENTIONS
from transformers import LlamaConfig, LlamaModel

from deixis.language.packed import find_sharing, read_packed

WIDTH = 16
SIZES = {"num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 32}
# Two questions about image 0, three about image 1 (one of them twice), one about none.
TOKENS = [
    [1, 2, 3, 4, 5, 6],
    [1, 2, 3, 7, 8, 0],
    [1, 2, 9, 9, 0, 0],
    [1, 2, 9, 9, 0, 0],
    [1, 2, 9, 9, 4, 0],
    [1, 2, 3, 4, 0, 0],
]
LENGTHS = [6, 5, 4, 4, 5, 4]
IMAGE = [1, 1, 0, 0, 0, -1]


def rows() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    held = torch.arange(6) < torch.tensor(LENGTHS)[:, None]
    return torch.tensor(TOKENS), held, torch.tensor(IMAGE)


def test_rows_share_what_all_rows_of_their_image_hold_alike() -> None:
    sharing = find_sharing(*rows())
    assert sharing.common.tolist() == [3, 3, 4, 4, 4, 4]
    assert sharing.group.tolist() == [2, 2, 1, 1, 1, 0]


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_packed_rows_are_read_as_if_each_stood_alone(attention: str) -> None:
    torch.manual_seed(0)
    decoder = LlamaModel(LlamaConfig(hidden_size=WIDTH, intermediate_size=32, **SIZES)).eval()
    decoder.config._attn_implementation = attention
    tokens, held, image = rows()
    positions = torch.arange(6).expand_as(tokens) * 2  # places may leave some out
    words = decoder.embed_tokens(tokens)
    sharing = find_sharing(tokens, held, image)
    (read,) = read_packed(decoder, words, held=held, positions=positions, sharing=sharing)
    states = read.padded()
    for row, length in enumerate(LENGTHS):
        alone = decoder(
            inputs_embeds=words[row : row + 1, :length], position_ids=positions[:1, :length]
        ).last_hidden_state[0]
        torch.testing.assert_close(states[row, :length], alone, atol=1e-5, rtol=1e-4)
        assert not states[row, length:].any()


def test_states_of_every_layer_are_those_of_rows_alone() -> None:
    torch.manual_seed(2)
    decoder = LlamaModel(LlamaConfig(hidden_size=WIDTH, intermediate_size=32, **SIZES)).eval()
    tokens, held, image = rows()
    positions = torch.arange(6).expand_as(tokens)
    words = decoder.embed_tokens(tokens)
    sharing, wanted = find_sharing(tokens, held, image), (0, 1, -1)
    layers = read_packed(
        decoder, words, held=held, positions=positions, sharing=sharing, layers=wanted
    )
    for row, length in enumerate(LENGTHS):
        alone = decoder(inputs_embeds=words[row : row + 1, :length], output_hidden_states=True)
        for read, layer in zip(layers, wanted, strict=True):
            place = torch.full((length,), row), torch.arange(length)
            own = alone.hidden_states[layer][0]
            torch.testing.assert_close(read[place], own, atol=1e-5, rtol=1e-4)
            assert read.positions[read.index[place]].tolist() == list(range(length))


def test_gradients_of_packed_rows_equal_those_of_rows_alone() -> None:
    torch.manual_seed(1)
    decoder = LlamaModel(LlamaConfig(hidden_size=WIDTH, intermediate_size=32, **SIZES))
    tokens, held, image = rows()
    positions = torch.arange(6).expand_as(tokens)
    weight = torch.randn(*tokens.shape, WIDTH)
    sharing = find_sharing(tokens, held, image)
    alone = find_sharing(tokens, held, torch.arange(len(tokens)))
    found = []
    for one in (sharing, alone):
        decoder.zero_grad()
        words = decoder.embed_tokens(tokens)
        (read,) = read_packed(decoder, words, held=held, positions=positions, sharing=one)
        (read.padded() * weight).sum().backward()
        found.append(decoder.embed_tokens.weight.grad.clone())
    torch.testing.assert_close(*found, atol=1e-4, rtol=1e-4)


def test_nothing_to_read_gives_nothing() -> None:
    decoder = LlamaModel(LlamaConfig(hidden_size=WIDTH, intermediate_size=32, **SIZES))
    empty = torch.zeros(0, 0, dtype=torch.long)
    sharing = find_sharing(empty, empty.bool(), empty.flatten())
    (read,) = read_packed(
        decoder, torch.zeros(0, 0, WIDTH), held=empty.bool(), positions=empty, sharing=sharing
    )
    assert read.padded().shape == (0, 0, WIDTH)


def test_many_rows_are_read_by_their_length_as_if_each_stood_alone(monkeypatch) -> None:
    torch.manual_seed(3)
    decoder = LlamaModel(LlamaConfig(hidden_size=WIDTH, intermediate_size=32, **SIZES)).eval()
    lengths = torch.randint(4, 20, (40,))
    image = torch.arange(40) % 3
    tokens = torch.randint(0, SIZES["vocab_size"], (40, 20))
    tokens[:, :3] = torch.tensor([[1, 2, 3], [4, 5, 6], [7, 8, 9]])[image]
    held = torch.arange(20) < lengths[:, None]
    positions, words = torch.arange(20).expand_as(tokens), decoder.embed_tokens(tokens)
    read, forward = [], LlamaModel.forward

    def counting(self, *args, **kwargs):
        read.append(tuple(kwargs["inputs_embeds"].shape[:2]))
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(LlamaModel, "forward", counting)
    sharing = find_sharing(tokens, held, image)
    (packed,) = read_packed(decoder, words, held=held, positions=positions, sharing=sharing)
    states = packed.padded()
    assert read[0] == (3, 3)  # what the rows of each image share, once
    assert sum(rows for rows, _ in read[1:]) == 40
    own = int((lengths - 3).sum())
    assert sum(rows * columns for rows, columns in read[1:]) < 1.3 * own < 40 * 16
    for row, length in enumerate(lengths.tolist()):
        alone = decoder(inputs_embeds=words[row : row + 1, :length]).last_hidden_state
        torch.testing.assert_close(states[row, :length], alone[0], atol=1e-5, rtol=1e-5)
        assert not states[row, length:].any()


def test_rows_of_one_image_may_begin_differently() -> None:
    torch.manual_seed(4)
    decoder = LlamaModel(LlamaConfig(hidden_size=WIDTH, intermediate_size=32, **SIZES)).eval()
    tokens = torch.tensor([[1, 2, 3], [4, 5, 6]])
    held = torch.ones_like(tokens, dtype=torch.bool)
    positions, words = torch.arange(3).expand_as(tokens), decoder.embed_tokens(tokens)
    sharing = find_sharing(tokens, held, torch.zeros(2, dtype=torch.long))
    assert sharing.common.tolist() == [0, 0]
    (packed,) = read_packed(decoder, words, held=held, positions=positions, sharing=sharing)
    states = packed.padded()
    alone = decoder(inputs_embeds=words).last_hidden_state
    torch.testing.assert_close(states, alone, atol=1e-5, rtol=1e-5)
