"""New encoders begin so that what they read is heard at their other end."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from transformers import SamConfig, SamModel, SamVisionConfig
from transformers.models.sam.modeling_sam import SamVisionEncoder

from deixis.models.configs.prima_config import scenes_sam
from deixis.nn.starting import begin_audibly, let_neighbours_agree


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)


@pytest.mark.parametrize("width", [16, 300])
def test_what_passes_stays_as_loud_and_branches_end_half_as_loud(width):
    torch.manual_seed(0)
    block, shown = Block(width), torch.randn(2000, width)
    begin_audibly(block)
    with torch.no_grad():
        inside = block.fc1(shown)
        out = block.fc2(inside / inside.std())
    assert inside.std().item() == pytest.approx(1, rel=0.2)
    assert out.std().item() == pytest.approx(0.5, rel=0.2)


def test_every_branch_of_sam_is_heard():
    torch.manual_seed(0)
    config = SamVisionConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=32, patch_size=8,
        output_channels=8, global_attn_indexes=[1], window_size=2, mlp_dim=64,
    )  # fmt: skip
    encoder, branches = SamVisionEncoder(config).eval(), {}
    for number, layer in enumerate(encoder.layers):
        for name in ("attn", "mlp"):
            getattr(layer, name).register_forward_hook(
                lambda _, __, out, key=(number, name): branches.__setitem__(
                    key, out[0] if isinstance(out, tuple) else out
                )
            )

    def loudness() -> dict[tuple[int, str], float]:
        with torch.no_grad():
            encoder(torch.randn(2, 3, 32, 32))
        return {key: out.std().item() for key, out in branches.items()}

    before = loudness()
    begin_audibly(encoder)
    after = loudness()
    assert len(after) == 4
    assert all(after[key] > 0.1 > 5 * before[key] for key in after)


def test_places_of_a_new_sam_agree_with_their_neighbours_and_with_points():
    torch.manual_seed(0)
    sam = SamModel(SamConfig(**scenes_sam()))
    before = sam.get_image_wide_positional_embeddings()[0]
    let_neighbours_agree(sam)
    after = sam.get_image_wide_positional_embeddings()[0]  # (C, h, w)

    def alike(codes, step):
        return F.cosine_similarity(codes[..., step:], codes[..., :-step], dim=0).mean().item()

    assert abs(alike(before, 1)) < 0.2  # a sixteenth of the canvas away
    assert alike(after, 1) > 0.6
    assert abs(alike(after, 4)) < 0.3
    one, other = (part.positional_embedding for part in (
        sam.shared_image_embedding, sam.prompt_encoder.shared_embedding
    ))  # fmt: skip
    assert torch.equal(one, other)
