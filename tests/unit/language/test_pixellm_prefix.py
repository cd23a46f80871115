"""Going on from kept prefixes is reading everything; foretold tokens are those of full reading."""

import pytest
import torch
from transformers import LlamaConfig, LlamaModel

from deixis.language.generate import foretell, read_on
from deixis.language.prefix import go_on_from, no_prefix, read_prefixes


@pytest.fixture(scope="module")
def language():
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=40, hidden_size=24, intermediate_size=20, num_hidden_layers=3,
        num_attention_heads=3, num_key_value_heads=3, pad_token_id=0,
    )  # fmt: skip
    model = LlamaModel(config).eval()
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.4)
    return model


def full(language, rows, positions=None):
    """The states of one row, read whole."""
    return language(inputs_embeds=rows[None], position_ids=positions).last_hidden_state[0]


@torch.no_grad()
def test_rows_with_prefixes_of_any_length_go_on_as_if_read_whole(language):
    texts = torch.randn(2, 7, 24)
    held = torch.arange(7) < torch.tensor([[7], [4]])
    gaps = torch.tensor([[0, 1, 2, 5, 6, 7, 8], [0, 1, 2, 3, 0, 0, 0]])
    one, other = read_prefixes(language, texts, held, gaps)
    assert (len(one), len(other), one.position, other.position) == (7, 4, 8, 3)
    rows = [one, other, one, no_prefix(language)]
    reading = go_on_from(language, rows)
    rest = torch.randn(4, 3, 24)
    states = read_on(language, reading, rest, torch.ones(4, 3, dtype=torch.bool))
    wholes = [(texts[0], gaps[0]), (texts[1, :4], gaps[1, :4]), (texts[0], gaps[0]), (None, None)]
    for row, (before, places) in enumerate(wholes):
        text = rest[row] if before is None else torch.cat([before, rest[row]])
        last = -1 if places is None else int(places[-1])
        own = [] if places is None else places.tolist()
        index = torch.tensor([[*own, last + 1, last + 2, last + 3]])
        expected = full(language, text, index)[-3:]
        torch.testing.assert_close(states[row], expected, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_a_prefix_is_not_changed_by_who_goes_on_from_it(language):
    (prefix,) = read_prefixes(
        language, torch.randn(1, 5, 24), torch.ones(1, 5, dtype=torch.bool), torch.arange(5)[None]
    )
    before = [tensor.clone() for tensor in (*prefix.keys, *prefix.values, prefix.state)]
    for _ in range(2):
        reading = go_on_from(language, [prefix, prefix])
        read_on(language, reading, torch.randn(2, 2, 24), torch.ones(2, 2, dtype=torch.bool))
    after = [*prefix.keys, *prefix.values, prefix.state]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


@torch.no_grad()
def test_foretold_tokens_and_states_are_those_of_reading_everything_again(language):
    head = torch.nn.Linear(24, 40, bias=False)
    torch.nn.init.normal_(head.weight)
    head.weight[39] = 0  # never said
    text = torch.randn(6, 24)
    (prefix,) = read_prefixes(
        language, text[None], torch.ones(1, 6, dtype=torch.bool), torch.arange(6)[None]
    )
    reads = []
    hook = language.register_forward_hook(lambda *_: reads.append(1))
    reading = go_on_from(language, [prefix, prefix])
    steps = list(foretell(language, head, reading, most=torch.tensor([5, 3]), end=39))
    hook.remove()
    assert len(reads) == len(steps) - 1 == 4  # nothing is read that no token needs
    for token, state in steps:
        own = full(language, text)[-1]
        torch.testing.assert_close(state[0], own, atol=1e-4, rtol=1e-4)
        assert int(token[0]) == int(head(own).argmax())
        text = torch.cat([text, language.embed_tokens(token[:1])])
    assert [int(token[1]) for token, _ in steps] == [
        *(int(token[0]) for token, _ in steps[:3]), 39, 39,
    ]  # fmt: skip


def test_no_room_writes_nothing(language):
    (prefix,) = read_prefixes(
        language, torch.randn(1, 2, 24), torch.ones(1, 2, dtype=torch.bool), torch.arange(2)[None]
    )
    reading = go_on_from(language, [prefix])
    assert not list(foretell(language, language.norm, reading, most=torch.tensor([0]), end=1))
