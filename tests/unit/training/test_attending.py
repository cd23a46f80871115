"""Where SAM's tokens look while it draws, against the attention weights that its layers give."""

import pytest
import torch
import torch.nn.functional as F
from transformers import SamConfig
from transformers.models.sam2.configuration_sam2 import Sam2MaskDecoderConfig
from transformers.models.sam2.modeling_sam2 import Sam2TwoWayTransformer

from deixis.decoding.segment_anything import SegmentAnything
from deixis.errors import ShapeError
from deixis.nn.starting import begin_audibly, look_where_asked
from deixis.training.attending import Attending

TARGETS, SIDE = 3, 4


@pytest.fixture
def sam():
    torch.manual_seed(0)
    small = {"hidden_size": 32, "num_attention_heads": 2}
    config = SamConfig(
        vision_config={
            **small, "num_hidden_layers": 1, "image_size": 32, "patch_size": 8, "window_size": 2,
            "global_attn_indexes": [0], "output_channels": 16, "num_pos_feats": 8, "mlp_dim": 32,
        },
        prompt_encoder_config={"hidden_size": 16, "image_size": 32, "patch_size": 8},
        mask_decoder_config={
            "hidden_size": 16, "mlp_dim": 16, "num_attention_heads": 2, "iou_head_hidden_dim": 16,
        },
    )  # fmt: skip
    config._attn_implementation = "eager"
    sam = SegmentAnything(config).eval()
    begin_audibly(sam.sam.mask_decoder)
    return sam


def parts_of(transformer):
    return [
        *(layer.cross_attn_token_to_image for layer in transformer.layers),
        transformer.final_attn_token_to_image,
    ]


def test_what_is_missed_is_the_cross_entropy_of_attention_with_the_targets_cells(sam):
    transformer = sam.sam.mask_decoder.transformer
    given = []
    for part in parts_of(transformer):
        part.register_forward_hook(lambda module, read, out: given.append(out[1]))
    frame = torch.tensor([1, 0, 1])
    masks = torch.zeros(TARGETS, 8, 8)
    masks[0, :2, :3], masks[1, 5:, 5:] = 1, 1  # the last is nowhere
    with torch.no_grad(), Attending(transformer) as looks:
        sam.draw(torch.randn(TARGETS, 16), frame, torch.randn(2, 16, SIDE, SIDE))
    order = [mine.flatten() for mine in sam.together(frame, SIDE**2)]
    missed = looks.missed([masks[mine] for mine in order], (SIDE, SIDE))
    wanted = []
    for number, mine in enumerate(order):
        for weights in given[3 * number : 3 * number + 3]:  # (M, A, N, P)
            each = [
                -(masks[one].view(SIDE, 2, SIDE, 2).mean((1, 3)).flatten() * own.log()).sum(1)
                / masks[one].mean() / SIDE**2
                for one, own in zip(mine.tolist(), weights[:, 0], strict=True)
                if masks[one].any()
            ]  # fmt: skip
            wanted.append(torch.stack(each).mean())
    assert len(given) == 3 * len(order) == 6
    assert missed.item() == pytest.approx(torch.stack(wanted).mean().item(), rel=1e-4)


def test_looking_is_learned_and_no_longer_watched_afterwards(sam):
    transformer = sam.sam.mask_decoder.transformer
    prompts, features = torch.randn(1, 16), torch.randn(1, 16, SIDE, SIDE)
    masks = torch.zeros(1, SIDE, SIDE)
    masks[0, 1, 2] = 1
    learner = torch.optim.Adam(transformer.parameters(), 1e-2)
    losses = []
    for _ in range(12):
        with Attending(transformer) as looks:
            sam.draw(prompts, torch.tensor([0]), features)
        losses.append(looks.missed([masks], (SIDE, SIDE)))
        learner.zero_grad()
        losses[-1].backward()
        learner.step()
    assert losses[-1] < 0.5 * losses[0]
    sam.draw(prompts, torch.tensor([0]), features)
    assert [len(one) for one in looks.asked] == [1, 1, 1]
    with pytest.raises(ShapeError, match="drawing"):
        looks.missed([masks, masks], (SIDE, SIDE))


def test_tokens_begin_by_looking_where_their_place_is():
    torch.manual_seed(0)
    config = Sam2MaskDecoderConfig(hidden_size=64, num_attention_heads=2, mlp_dim=32)
    config._attn_implementation = "eager"
    transformer = Sam2TwoWayTransformer(config).eval()
    begin_audibly(transformer)
    look_where_asked(transformer)
    cells = torch.rand(SIDE**2, 2)
    angles = 6.3 * cells @ torch.randn(2, 32)
    places = torch.cat([angles.sin(), angles.cos()], 1)  # (P, 64)
    shown = F.normalize(torch.randn(1, 64, SIDE, SIDE), dim=1)
    given = []
    transformer.layers[0].cross_attn_token_to_image.register_forward_hook(
        lambda module, read, out: given.append(out[1])
    )
    with torch.no_grad():
        transformer(
            point_embeddings=places[None, None], image_embeddings=shown,
            image_positional_embeddings=places.T.view(1, 64, SIDE, SIDE), attention_similarity=None,
        )  # fmt: skip
    looks = given[0][0].mean(0)  # (P, P)
    assert (looks.argmax(1) == torch.arange(SIDE**2)).float().mean() > 0.8
