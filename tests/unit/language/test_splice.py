"""Image rows at their placeholders, against lists that are put together by hand."""

import pytest
import torch

from deixis.errors import ShapeError
from deixis.language.splice import held_columns, splice_rows, starts_of

LENGTHS = torch.tensor([[1, 3, 1, 2, 1], [2, 1, 1, 0, 0], [1, 1, 1, 1, 0]])
IMAGES = torch.tensor([[False, True, False, True, False], [True] + [False] * 4, [False] * 5])


def by_hand(embedded, rows):
    out, taken = [], 0
    for b in range(3):
        row = []
        for n in range(5):
            length = int(LENGTHS[b, n])
            if IMAGES[b, n]:
                row += list(rows[taken : taken + length])
                taken += length
            elif length:
                row.append(embedded[b, n])
        out.append(row)
    return out


def test_rows_stand_where_a_list_has_them():
    embedded, rows = torch.randn(3, 5, 4), torch.randn(7, 4)
    out = splice_rows(embedded, LENGTHS, IMAGES, rows)
    held = held_columns(LENGTHS)
    assert out.shape == (3, 8, 4)
    for b, row in enumerate(by_hand(embedded, rows)):
        assert held[b].tolist() == [True] * len(row) + [False] * (8 - len(row))
        torch.testing.assert_close(out[b, : len(row)], torch.stack(row))
        assert not out[b, len(row) :].any()


def test_starts_are_the_columns_before_a_token():
    assert starts_of(LENGTHS)[0].tolist() == [0, 1, 4, 5, 7]


def test_gradient_reaches_words_and_rows_but_not_placeholders_or_padding():
    embedded = torch.randn(3, 5, 4, requires_grad=True)
    rows = torch.randn(7, 4, requires_grad=True)
    splice_rows(embedded, LENGTHS, IMAGES, rows).square().sum().backward()
    assert rows.grad.any(1).all()
    assert torch.equal(embedded.grad.any(2), (LENGTHS > 0) & ~IMAGES)


def test_placeholders_and_rows_must_agree():
    with pytest.raises(ShapeError, match="expected 7 rows for 3 placeholders, got 6"):
        splice_rows(torch.randn(3, 5, 4), LENGTHS, IMAGES, torch.randn(6, 4))
