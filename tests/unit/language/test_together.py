"""Rows read together without padding, against one plain call of the decoder."""

import pytest
import torch
from decoders import ATTENTIONS, near, plainly, ragged, small_decoders

from deixis.language.together import ROWS, read_layers, read_together


@pytest.fixture(scope="module", params=ATTENTIONS)
def decoder(request):
    return small_decoders(request.param)


@pytest.mark.parametrize(("rows", "prefix", "after"), [(2 * ROWS + 5, 7, 4), (3, 1, 5), (1, 6, 1)])
def test_the_states_are_those_of_one_plain_call_and_zero_where_nothing_is(
    decoder, rows, prefix, after
):
    embedded, held, positions = ragged(rows, prefix, after)
    states = read_together(decoder, embedded, held=held, positions=positions, prefix=prefix)
    expected = plainly(decoder, embedded, held, positions, prefix)
    torch.testing.assert_close(states[held], expected[held], **near(decoder))
    assert not states[~held].any()


def test_what_a_row_does_not_hold_changes_nothing(decoder):
    embedded, held, positions = ragged(4, 6, 3)
    states = read_together(decoder, embedded, held=held, positions=positions, prefix=6)
    noise = torch.where(held[..., None], embedded, 100.0)
    elsewhere = torch.where(held, positions, 50)
    noisy = read_together(decoder, noise, held=held, positions=elsewhere, prefix=6)
    torch.testing.assert_close(noisy, states)


def test_a_row_in_a_batch_is_the_row_alone(decoder):
    embedded, held, positions = ragged(5, 6, 3)
    together = read_together(decoder, embedded, held=held, positions=positions, prefix=6)
    for row in range(5):
        one = slice(row, row + 1)
        alone = read_together(
            decoder, embedded[one], held=held[one], positions=positions[one], prefix=6
        )
        torch.testing.assert_close(alone, together[one])


def test_gradients_reach_every_held_column(decoder):
    embedded, held, positions = ragged(3, 5, 2)
    embedded.requires_grad_()
    states = read_together(decoder, embedded, held=held, positions=positions, prefix=5)
    states.square().sum().backward()
    assert torch.equal(embedded.grad.abs().sum(2) > 0, held)


def test_states_half_way_are_those_of_the_layer(decoder):
    embedded, held, positions = ragged(ROWS + 3, 6, 3)
    columns = {"held": held, "positions": positions, "prefix": 6}
    last, first, end = read_layers(decoder, embedded, layers=(1, 0), **columns)
    torch.testing.assert_close(last, read_together(decoder, embedded, **columns))
    torch.testing.assert_close(end[held], embedded[held])
    assert not torch.allclose(first[held], last[held])
    assert not first[~held].any()


def test_a_change_half_way_is_seen_by_the_layers_behind_it(decoder):
    embedded, held, positions = ragged(ROWS + 3, 6, 3)
    told = torch.randn_like(embedded)
    columns = {"held": held, "positions": positions, "prefix": 6}
    plain, before = read_layers(decoder, embedded, layers=(1,), **columns)
    last, first = read_layers(
        decoder, embedded, layers=(1,), change=lambda s, rows: s + told[rows], **columns
    )
    same, _ = read_layers(decoder, embedded, layers=(1,), change=lambda s, rows: s, **columns)
    torch.testing.assert_close(same, plain)
    torch.testing.assert_close(first, before)
    assert ((last - plain).abs().amax(2) > 1e-4)[held].all()
    alone = read_layers(
        decoder,
        embedded[4:5],
        held=held[4:5],
        positions=positions[4:5],
        prefix=6,
        layers=(1,),
        change=lambda s, rows: s + told[4:5],
    )
    torch.testing.assert_close(alone[0], last[4:5])
