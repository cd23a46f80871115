"""Laws of the stations that hold for any sizes, orders and paddings."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deixis.decoding.pyramid import PyramidConfig, PyramidDecoder, product_logits
from deixis.nn.losses import bce_per_mask, dice_per_mask, info_nce, refinement_weights, soft_dice
from deixis.prompting.regions import cover_cells, pool_regions
from deixis.prompting.sparse import SparsePrompts
from deixis.relation.square import SQuARE, SQuAREConfig

SEEDS = st.integers(0, 2**31 - 1)
SIZES = st.integers(1, 6)
RELATION = SQuAREConfig(num_queries=3, query_width=6, feature_width=7, num_heads=2)
quick = settings(max_examples=25, deadline=None)


def draw(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.double)


def order(seed: int, count: int) -> torch.Tensor:
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))


@given(seed=SEEDS, rows=SIZES, images=SIZES)
@quick
def test_permuting_targets_permutes_masks(seed, rows, images):
    config = PyramidConfig(feature_widths=(3, 5), query_width=7, mask_width=4)
    decoder = PyramidDecoder(config).double()
    features = [draw(seed, images, 3, 2, 4), draw(seed, images, 5, 4, 8)]
    queries, index = draw(seed, rows, 2, 7), order(seed, rows) % images
    shuffle = order(seed + 1, rows)
    masks = decoder(queries, features, index)
    shuffled = decoder(queries[shuffle], features, index[shuffle])
    torch.testing.assert_close(shuffled, masks[shuffle])


@given(seed=SEEDS, rows=SIZES, images=SIZES)
@quick
def test_masks_of_a_batch_equal_masks_drawn_one_by_one(seed, rows, images):
    config = PyramidConfig(feature_widths=(3,), query_width=7, mask_width=4, fusion="sum")
    decoder = PyramidDecoder(config).double()
    features, queries = draw(seed, images, 3, 4, 5), draw(seed, rows, 1, 7)
    index = order(seed, rows) % images
    masks = decoder(queries, [features], index)
    for row in range(rows):
        own = features[index[row]][None]
        alone = decoder(queries[row : row + 1], [own], torch.zeros(1, dtype=torch.long))
        torch.testing.assert_close(alone[0], masks[row])


@given(seed=SEEDS, levels=SIZES)
@quick
def test_a_product_is_the_product_of_probabilities_in_any_order(seed, levels):
    logits = list(3 * draw(seed, levels, 2, 3))
    expected = torch.stack(logits).sigmoid().prod(0)
    torch.testing.assert_close(product_logits(logits).sigmoid(), expected)
    torch.testing.assert_close(product_logits(logits[::-1]).sigmoid(), expected)


@given(seed=SEEDS, images=SIZES, padding=st.integers(0, 3))
@quick
def test_padding_a_set_changes_no_row(seed, images, padding):
    square = SQuARE(RELATION).double()
    features = draw(seed, 1, images, 5, 7)
    padded = torch.cat([features, draw(seed + 1, 1, padding, 5, 7)], dim=1)
    mask = torch.arange(images + padding)[None] < images
    rows = square(features, torch.ones(1, images, dtype=torch.bool))
    torch.testing.assert_close(square(padded, mask)[:, :images], rows)


@given(seed=SEEDS, images=SIZES)
@quick
def test_the_relation_does_not_know_the_order_of_the_images(seed, images):
    square = SQuARE(RELATION).double()
    features, everything = draw(seed, 1, images, 5, 7), torch.ones(1, images, dtype=torch.bool)
    shuffled = features[:, order(seed, images)]
    torch.testing.assert_close(
        square.relate(shuffled, everything), square.relate(features, everything)
    )


@given(seed=SEEDS, height=SIZES, width=SIZES, tall=st.integers(1, 20), wide=st.integers(1, 20))
@quick
def test_cells_share_out_exactly_the_area_of_the_mask(seed, height, width, tall, wide):
    mask = draw(seed, 1, tall, wide) > 0
    cover = cover_cells(mask.double(), (height, width))
    assert cover.min() >= 0
    assert cover.max() <= 1 + 1e-9
    torch.testing.assert_close(cover.mean(), mask.double().mean())


@given(seed=SEEDS, tall=st.integers(1, 20), wide=st.integers(1, 20))
@quick
def test_pooled_features_lie_between_the_smallest_and_the_largest(seed, tall, wide):
    features, mask = draw(seed, 1, 3, 4, 5), draw(seed, 1, tall, wide) > 0
    mask[0, -1, -1] = True
    pooled = pool_regions(features, mask)[0]
    assert (pooled >= features[0].flatten(1).amin(1) - 1e-9).all()
    assert (pooled <= features[0].flatten(1).amax(1) + 1e-9).all()


@given(seed=SEEDS, count=SIZES)
@quick
def test_prompts_of_a_batch_equal_prompts_encoded_one_by_one(seed, count):
    prompts = SparsePrompts(7, bands=3).double()
    coords, time = draw(seed, count, 2, 2).sigmoid(), draw(seed + 1, count).sigmoid()
    is_box = draw(seed + 2, count) > 0
    tokens = prompts(coords, is_box, time)
    for row in range(count):
        one = slice(row, row + 1)
        torch.testing.assert_close(prompts(coords[one], is_box[one], time[one])[0], tokens[row])


@given(seed=SEEDS, rows=SIZES)
@quick
def test_mask_losses_are_least_at_the_truth(seed, rows):
    logits, targets = draw(seed, rows, 3, 5).float(), draw(seed + 1, rows, 3, 5) > 0
    truth = torch.where(targets, 50.0, -50.0)
    for loss in (bce_per_mask, dice_per_mask, soft_dice):
        assert (loss(logits, targets) >= loss(truth, targets) - 1e-6).all()
        assert (loss(logits, targets) >= 0).all()


@given(seed=SEEDS, rows=SIZES, questions=SIZES)
@quick
def test_refinement_does_not_know_the_numbers_of_the_questions(seed, rows, questions):
    logits, question = draw(seed, rows, 3, 5), order(seed, rows) % questions
    weights = refinement_weights(logits, question)
    assert torch.equal(refinement_weights(logits, 3 * question + 11), weights)
    assert set(weights.unique().tolist()) <= {1.0, 2.0}


@given(seed=SEEDS, count=st.integers(2, 6))
@quick
def test_identity_loss_ignores_length_order_and_other_groups(seed, count):
    rows, labels = draw(seed, count, 4), order(seed, count) % 2
    loss = info_nce(rows, labels)
    shuffle = order(seed + 1, count)
    torch.testing.assert_close(info_nce(3 * rows[shuffle], labels[shuffle]), loss)
    within = torch.tensor([0] * count + [1] * count)
    both = info_nce(torch.cat([rows, rows]), torch.cat([labels, labels]), within=within)
    torch.testing.assert_close(both, loss)
