"""SQuARE against loops written from the formulas, and who may learn of whom."""

from dataclasses import replace

import pytest
import torch

from deixis.errors import ConfigError, ShapeError
from deixis.relation.square import SQuARE, SQuAREConfig
from slow_loops import slow_attention

# B 2 sets, S 4 images, P 5 patches, C 10, Q 3, D 6, A 2: all different
TINY = SQuAREConfig(num_queries=3, query_width=6, feature_width=10, num_heads=2)
MASK = torch.tensor([[True, True, False, True], [True, False, False, False]])
RELATIONS = ["square", "none", "mean", "projection", "concat", "image_to_image"]
FULL = {"num_layers": 2, "pre_norm": True, "ffn": True, "residual": True}


def make(relation: str = "square", **options: object) -> SQuARE:
    torch.manual_seed(0)
    square = SQuARE(replace(TINY, relation=relation, **options)).double()
    for parameter in square.parameters():
        torch.nn.init.normal_(parameter, std=0.6)
    return square


def draw(*shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(shape, generator=generator, dtype=torch.double)


def slow_relation(square, images):
    """R' of the existing images (S, P, C) of one set."""
    queries = square.relation.queries
    together = torch.cat(list(images))  # (S * P, C)
    for layer in square.relation.layers:
        looked = slow_attention(layer.attention, layer.norm(queries), together)
        queries = queries + looked if layer.residual else looked
        if layer.ffn is not None:
            queries = queries + layer.ffn(queries)
    return queries


def slow_queries(square, images):
    """Gt of one set, from each relation's definition."""
    kind, own = square.config.relation, square.queries
    if kind in ("none", "image_to_image"):
        return own
    if kind in ("mean", "projection"):
        mean = images.flatten(0, 1).mean(0)
        term = square.relation.project(mean)
        return own + (term if kind == "mean" else term.reshape(3, 6))
    related = slow_relation(square, images)
    return torch.cat([own[: -len(related)], related]) if kind == "concat" else own + related


def slow_exchange(square, images):
    """What the queries see of the existing images (S, P, C) of one set."""
    if square.config.relation != "image_to_image":
        return images
    together = torch.cat(list(images))
    return images + torch.stack([
        slow_attention(square.relation.attention, image, together) for image in images
    ])


def slow_look(square, queries, image):
    look = square.look
    rows = look.attention_norm(queries + slow_attention(look.attention, queries, image))
    return look.ffn_norm(rows + look.ffn(rows))


@pytest.mark.parametrize("options", [{}, FULL], ids=["plain", "full"])
@pytest.mark.parametrize("relation", RELATIONS)
def test_matches_a_loop_over_sets_and_images(relation, options):
    square, features = make(relation, **options), draw(2, 4, 5, 10)
    rows = square(features, MASK)
    for b in range(2):
        queries = slow_queries(square, features[b][MASK[b]])
        known = iter(slow_exchange(square, features[b][MASK[b]]))
        for s in range(4):
            expected = torch.zeros(3, 6).double()
            if MASK[b, s]:
                expected = slow_look(square, queries, next(known))
            torch.testing.assert_close(rows[b, s], expected)


@pytest.mark.parametrize("relation", RELATIONS)
def test_what_padded_images_hold_changes_nothing(relation):
    square, features = make(relation), draw(2, 4, 5, 10)
    spoilt = features.masked_fill(~MASK[..., None, None], float("nan"))
    torch.testing.assert_close(square(spoilt, MASK), square(features, MASK))


@pytest.mark.parametrize("relation", RELATIONS)
def test_a_padded_batch_equals_single_sets(relation):
    square, features = make(relation), draw(2, 4, 5, 10)
    alone = square(features[1:, :1], MASK[1:, :1])
    torch.testing.assert_close(square(features, MASK)[1:, :1], alone)


@pytest.mark.parametrize("relation", RELATIONS)
def test_permuting_the_images_permutes_their_rows(relation):
    square, features, order = make(relation), draw(2, 4, 5, 10), [2, 0, 3, 1]
    torch.testing.assert_close(
        square(features[:, order], MASK[:, order]), square(features, MASK)[:, order]
    )


def test_with_positions_the_order_of_the_images_counts():
    square, features, order = make(per_image_position=True), draw(2, 4, 5, 10), [1, 0, 3, 2]
    everything = torch.ones(2, 4, dtype=torch.bool)
    there, back = square(features, everything), square(features[:, order], everything)[:, order]
    assert not torch.allclose(there, back)


@pytest.mark.parametrize("relation", RELATIONS)
def test_other_images_are_felt_through_the_relation_and_only_there(relation):
    square, features = make(relation), draw(2, 4, 5, 10)
    changed = features.clone()
    changed[0, 3] += 1  # another image of the first set
    before, after = square(features, MASK), square(changed, MASK)
    assert torch.equal(before[0, 0], after[0, 0]) == (relation == "none")
    assert torch.equal(before[1], after[1])
    known = square.exchange(features, MASK) if relation == "image_to_image" else changed
    fixed = square.look(square.relate(features, MASK)[:1], known[:1, 0])
    torch.testing.assert_close(fixed[0], before[0, 0])


@pytest.mark.parametrize("options", [{}, FULL], ids=["plain", "full"])
@pytest.mark.parametrize("relation", RELATIONS)
def test_gradient_reaches_every_weight_and_every_image(relation, options):
    square, features = make(relation, **options), draw(2, 4, 5, 10).requires_grad_()
    (square(features, MASK) * draw(2, 4, 3, 6)).sum().backward()
    idle = {  # a key's bias shifts all scores alike, which a softmax does not see
        name
        for name, p in square.named_parameters()
        if p.grad is None or p.grad.abs().max() < 1e-12
    }
    assert all(name.endswith("key.bias") for name in idle)
    assert torch.equal(features.grad.flatten(2).any(2), MASK)


def test_one_image_is_a_set_too():
    assert make()(draw(1, 1, 5, 10), torch.ones(1, 1, dtype=torch.bool)).shape == (1, 1, 3, 6)


@pytest.mark.parametrize("relation", RELATIONS)
def test_a_question_without_images_gives_zeros_and_finite_gradients(relation):
    square, mask = make(relation), torch.tensor([[True, True], [False, False]])
    rows = square(draw(2, 2, 5, 10), mask)
    (rows * draw(2, 2, 3, 6)).sum().backward()
    assert not rows[1].any()
    assert all(p.grad.isfinite().all() for p in square.parameters())


def test_the_relational_attention_has_the_published_number_of_weights():
    square = SQuARE(SQuAREConfig())
    assert sum(p.numel() for p in square.relation.parameters()) == 3_345_408 + 24_576


def test_attention_agrees_with_torch_on_shared_weights():
    square, features = make(), draw(2, 5, 10)
    ours = square.look.attention
    theirs = torch.nn.MultiheadAttention(6, 2, kdim=10, vdim=10, batch_first=True).double()
    theirs.q_proj_weight.data, theirs.k_proj_weight.data = ours.query.weight, ours.key.weight
    theirs.v_proj_weight.data = ours.value.weight
    theirs.in_proj_bias.data = torch.cat([ours.query.bias, ours.key.bias, ours.value.bias])
    theirs.out_proj.load_state_dict(ours.output.state_dict())
    queries = draw(2, 3, 6)
    torch.testing.assert_close(ours(queries, features), theirs(queries, features, features)[0])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_heads": 4}, r"num_heads: expected a divisor of query_width \(6\), got 4"),
        ({"relation": "pooling"}, 'relation: expected one of square, none, .* got "pooling"'),
        (
            {"num_queries": 1, "relation": "concat"},
            'num_queries: expected at least 2 for relation "concat", got 1',
        ),
        ({"num_queries": 0}, "num_queries: expected at least 1, got 0"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        replace(TINY, **changes)


def test_images_that_look_at_each_other_need_heads_that_divide_the_features():
    with pytest.raises(ConfigError, match=r"divisor of feature_width \(7\).*got 2"):
        replace(TINY, relation="image_to_image", feature_width=7)


@pytest.mark.parametrize("relation", RELATIONS)
def test_every_relation_can_begin_with_the_global_queries_of_another(relation):
    assert make(relation).queries.shape == make("square").queries.shape == (3, 6)


def test_features_and_mask_that_do_not_fit_are_refused():
    with pytest.raises(ShapeError, match=r"image features: expected .* 10\), got \(2, 4, 10, 5\)"):
        make()(draw(2, 4, 10, 5), MASK)
    with pytest.raises(ShapeError, match=r"image mask: expected shape \(2, 4\), got \(4, 2\)"):
        make()(draw(2, 4, 5, 10), MASK.T)


def test_scaled_dot_product_attention_leaves_out_what_is_not_seen():
    attention, features = make().look.attention, draw(1, 5, 10)
    seen = torch.tensor([[True, False, True, True, False]])
    torch.testing.assert_close(
        attention(draw(1, 3, 6), features, seen), attention(draw(1, 3, 6), features[:, seen[0]])
    )
    assert not torch.allclose(
        attention(draw(1, 3, 6), features, seen), attention(draw(1, 3, 6), features)
    )
