"""Memory attention against a slow loop over rows, places and pairs of channels."""

import math

import pytest
import torch

from deixis.decoding.frame_attention import MemoryAttention, RotaryAttention, axial_angles, turn
from deixis.errors import ShapeError

SIZE, WIDTH, MEMORY = (2, 3), 8, 4


def test_turned_pairs_are_those_of_a_rotation_by_column_then_row():
    table = axial_angles(SIZE, WIDTH, 100.0, torch.device("cpu"))
    rows = torch.randn(6, WIDTH)
    turned = turn(rows, table)
    for place in range(6):
        column, row = place % 3, place // 3
        for pair in range(4):
            rate = 100.0 ** -((pair % 2) * 4 / WIDTH)
            angle = (column if pair < 2 else row) * rate
            even, odd = rows[place, 2 * pair], rows[place, 2 * pair + 1]
            wanted = even * math.cos(angle) - odd * math.sin(angle)
            assert turned[place, 2 * pair].item() == pytest.approx(wanted.item(), abs=1e-5)


def test_rows_without_a_place_are_not_turned():
    attention = RotaryAttention(WIDTH, MEMORY, num_heads=2, dropout=0.0, still=False).double()
    table = axial_angles(SIZE, WIDTH // 2, 100.0, torch.device("cpu"))
    query = torch.randn(1, 6, WIDTH).double()
    memory = torch.randn(1, 12 + 3, MEMORY).double()
    got = attention(query, memory, memory, table, 3)
    heads = []
    for head in range(2):
        part = slice(head * 4, head * 4 + 4)
        asked = turn(attention.q_proj(query)[0, :, part], table)
        known = attention.k_proj(memory)[0, :, part]
        turned = [turn(known[start : start + 6], table) for start in (0, 6)]
        known = torch.cat([*turned, known[12:]])
        weights = (asked.double() @ known.double().T / 2).softmax(-1)
        heads.append(weights @ attention.v_proj(memory)[0, :, part])
    torch.testing.assert_close(
        got[0], attention.out_proj(torch.cat(heads, 1)), rtol=1e-5, atol=1e-5
    )


def test_codes_of_another_length_than_the_memory_are_refused():
    attention = MemoryAttention(
        WIDTH, MEMORY, 10, num_layers=1, num_heads=1, dropout=0.0, theta=100.0
    )
    features = torch.randn(2, WIDTH, *SIZE)
    memory = torch.randn(2, 7, MEMORY)
    with pytest.raises(ShapeError, match=r"codes of frame memory: expected shape \(any, 7, 4\)"):
        attention(features, features[:1], memory, memory[:1, :6], 1)
