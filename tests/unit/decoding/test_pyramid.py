"""PyramidDecoder against a loop over rows and pixels that follows the formulas one by one."""

import dataclasses
import math

import pytest
import torch
import torch.nn.functional as F

from deixis.decoding.pyramid import (
    START_LOGIT,
    PyramidConfig,
    PyramidDecoder,
    product_logits,
)
from deixis.errors import ConfigError, ShapeError

TINY = PyramidConfig(feature_widths=(3, 5), query_width=7, mask_width=4, bands=2)
INDEX = torch.tensor([2, 0, 2, 2, 0])  # no row for image 1


def make(**changes: object) -> PyramidDecoder:
    torch.manual_seed(0)
    decoder = PyramidDecoder(dataclasses.replace(TINY, **changes)).double()
    for parameter in decoder.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    return decoder


def inputs() -> tuple[torch.Tensor, list[torch.Tensor]]:
    generator = torch.Generator().manual_seed(1)
    queries = torch.randn(5, 2, 7, generator=generator, dtype=torch.double)
    coarse = torch.randn(3, 3, 4, 6, generator=generator, dtype=torch.double)
    fine = torch.randn(3, 5, 8, 12, generator=generator, dtype=torch.double)
    return queries, [coarse, fine]


def pixel_code(y: int, x: int, height: int, width: int) -> torch.Tensor:
    """x, y, then sines and cosines of both at 1 and 2 half turns."""
    place = [(x + 0.5) / width, (y + 0.5) / height]
    angles = [math.pi * 2**k * p for p in place for k in range(2)]
    values = place + [math.sin(a) for a in angles] + [math.cos(a) for a in angles]
    return torch.tensor(values, dtype=torch.double)


def slow_level(decoder, level, query, feature, previous):
    """One level of one row, pixel by pixel; the previous mask weighs the pixel's vector."""
    embed, ask = decoder.embed[level], decoder.ask[level]
    height, width = feature.shape[-2:]
    logits = torch.zeros(height, width, dtype=torch.double)
    for y in range(height):
        for x in range(width):
            hidden = embed.features(feature[:, y, x]) + embed.place(pixel_code(y, x, height, width))
            vector = embed.output(F.gelu(hidden))
            if previous is not None:
                share = previous[y, x].sigmoid()
                vector = vector * (share if decoder.config.modulation == "sigmoid" else 1 + share)
            asked = ask(query)
            logits[y, x] = asked[:-1] @ vector + asked[-1]
    return logits


def slow_row(decoder, queries, features, prior):
    """Both levels of one row, and their fusion."""
    first = slow_level(decoder, 0, queries[0], features[0], None)
    if prior is not None:
        first = first + decoder.prior_gain * (2 * prior - 1)
    first = F.interpolate(first[None, None], size=(8, 12), mode="bilinear")[0, 0]
    second = slow_level(decoder, 1, queries[1], features[1], first)
    if decoder.config.fusion == "sum":
        return decoder.gamma[0] * first + decoder.gamma[1] * second
    return torch.logit(first.sigmoid() * second.sigmoid())


@pytest.mark.parametrize("modulation", ["sigmoid", "one_plus_sigmoid"])
@pytest.mark.parametrize("fusion", ["product", "sum"])
def test_matches_a_loop_over_rows_levels_and_pixels(modulation, fusion):
    decoder = make(modulation=modulation, fusion=fusion)
    queries, features = inputs()
    prior = torch.rand(5, 4, 6, dtype=torch.double)
    logits = decoder(queries, features, INDEX, prior)
    for row, image in enumerate(INDEX):
        own = [feature[image] for feature in features]
        torch.testing.assert_close(logits[row], slow_row(decoder, queries[row], own, prior[row]))


def test_a_prior_that_knows_nothing_changes_nothing():
    decoder, (queries, features) = make(), inputs()
    unsure = torch.full((5, 4, 6), 0.5, dtype=torch.double)
    torch.testing.assert_close(
        decoder(queries, features, INDEX, unsure), decoder(queries, features, INDEX)
    )


def test_a_prior_of_another_size_is_resized_to_the_first_level():
    decoder, (queries, features) = make(), inputs()
    fine = torch.rand(5, 8, 12, dtype=torch.double)
    coarse = F.interpolate(fine[:, None], size=(4, 6), mode="bilinear")[:, 0]
    torch.testing.assert_close(
        decoder(queries, features, INDEX, fine), decoder(queries, features, INDEX, coarse)
    )


def test_a_row_sees_its_own_image_only():
    decoder, (queries, features) = make(), inputs()
    before = decoder(queries, features, INDEX)
    changed = [feature.clone() for feature in features]
    for feature in changed:
        feature[2] += 1
    after = decoder(queries, changed, INDEX)
    same = (before == after).flatten(1).all(1)
    assert torch.equal(same, INDEX != 2)


def test_every_weight_learns_and_features_get_gradients():
    decoder, (queries, features) = make(fusion="sum"), inputs()
    queries.requires_grad_()
    features = [feature.requires_grad_() for feature in features]
    decoder(queries, features, INDEX, torch.rand(5, 4, 6, dtype=torch.double)).sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in decoder.parameters())
    assert queries.grad.flatten(1).any(1).all()
    assert [feature.grad.flatten(1).any(1).tolist() for feature in features] == [
        [True, False, True]
    ] * 2


def test_fresh_logits_start_low_and_reset_start_restores_that():
    decoder = make()
    decoder.reset_start()
    starts = [START_LOGIT, *[-START_LOGIT] * (len(decoder.ask) - 1)]
    assert [ask.bias[-1].item() for ask in decoder.ask] == starts
    assert [ask.bias[-1].item() for ask in PyramidDecoder(TINY).ask] == starts


@pytest.mark.parametrize("images", [0, 3])
def test_no_rows_give_no_masks(images):
    decoder, (queries, features) = make(), inputs()
    none = torch.zeros(0, dtype=torch.long)
    few = [feature[:images] for feature in features]
    prior = torch.zeros(0, 4, 6, dtype=torch.double)
    assert decoder(queries[:0], few, none, prior).shape == (0, 8, 12)


def test_half_precision_gives_float32_logits():
    decoder = PyramidDecoder(TINY).bfloat16()
    queries, features = inputs()
    logits = decoder(queries.bfloat16(), [f.bfloat16() for f in features], INDEX)
    assert logits.dtype == torch.float32


def test_the_product_is_exact_where_a_naive_one_overflows():
    one = torch.tensor([200.0, 200.0, -300.0, 1.0], requires_grad=True)
    two = torch.tensor([150.0, -40.0, -300.0, 2.0])
    fused = product_logits([one, two])
    fused.sum().backward()
    p = torch.tensor(1.0).double().sigmoid() * torch.tensor(2.0).double().sigmoid()
    torch.testing.assert_close(
        fused.detach(), torch.tensor([150.0, -40.0, -600.0, float(torch.logit(p))])
    )
    assert one.grad.isfinite().all()


def test_three_levels_multiply_too():
    levels = [torch.randn(2, 3, dtype=torch.double) for _ in range(3)]
    product = levels[0].sigmoid() * levels[1].sigmoid() * levels[2].sigmoid()
    torch.testing.assert_close(product_logits(levels).sigmoid(), product)


def test_an_image_that_is_not_there_is_refused():
    queries, features = inputs()
    with pytest.raises(ShapeError, match=r"image index: expected less than 3 .* got 4"):
        make()(queries, features, INDEX + 2)


def test_levels_that_do_not_fit_the_config_are_refused():
    queries, features = inputs()
    with pytest.raises(ShapeError, match="expected 2 levels, got 1"):
        make()(queries, features[:1], INDEX)
    with pytest.raises(
        ShapeError, match=r"level 1: expected shape \(3, 5, any, any\), got \(3, 3,"
    ):
        make()(queries, [features[0], features[0]], INDEX)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"attention_depth": 2}, "attention_depth: expected 0 .* got 2. Two-way attention is not"),
        ({"fusion": "mean"}, 'fusion: expected "sum" or "product", got "mean"'),
        ({"modulation": "none"}, 'modulation: expected "sigmoid" or .* got "none"'),
        ({"feature_widths": ()}, "feature_widths: expected one width per level, got none"),
    ],
)
def test_a_setting_that_is_not_supported_is_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(TINY, **changes)
