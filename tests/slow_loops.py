"""Formulas as loops, for tests of fast code of which there is no other implementation."""

import torch


def slow_attention(attention, queries, features):
    """Return attention of queries (Q, D) to features (P, C), softmax(q k / sqrt(d)) v, query by
    query and head by head."""
    width = queries.shape[1] // attention.num_heads
    rows = []
    for query in attention.query(queries):
        heads = []
        for head in range(attention.num_heads):
            part = slice(head * width, (head + 1) * width)
            scores = attention.key(features)[:, part] @ query[part] / width**0.5
            heads.append(scores.softmax(0) @ attention.value(features)[:, part])
        rows.append(attention.output(torch.cat(heads)))
    return torch.stack(rows)
