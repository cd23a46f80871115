"""New encoders that look at neighbours: each head of each layer at one, before any step."""

import pytest
import torch
from transformers import (
    CLIPVisionConfig,
    CLIPVisionModel,
    InstructBlipVisionConfig,
    InstructBlipVisionModel,
    SamVisionConfig,
    SamVisionModel,
)
from transformers.models.qwen2_5_vl.configuration_qwen2_5_vl import Qwen2_5_VLVisionConfig
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import (
    Qwen2_5_VisionTransformerPretrainedModel,
    apply_rotary_pos_emb_vision,
)

from deixis.decoding.frame_attention import MemoryAttention, axial_angles, axial_rates, turn
from deixis.nn.nearby import (
    NEIGHBOURS,
    look_nearby,
    look_nearby_turning,
    look_where_it_was,
)

SIDE = 8


@pytest.mark.parametrize(("width", "heads"), [(128, 4), (96, 6), (64, 8)])
@pytest.mark.parametrize(
    ("kind", "own"),
    [(CLIPVisionModel, CLIPVisionConfig), (InstructBlipVisionModel, InstructBlipVisionConfig)],
)
def test_every_head_looks_most_at_its_own_neighbour(kind, own, width, heads):
    torch.manual_seed(0)
    sizes = {"hidden_size": width, "intermediate_size": 64, "num_hidden_layers": 2}
    config = own(
        **sizes, num_attention_heads=heads, image_size=8 * SIDE, patch_size=8,
        attn_implementation="eager",
    )  # fmt: skip
    tower = kind(config).eval()
    look_nearby(tower)
    pictures = torch.randn(24, 3, 8 * SIDE, 8 * SIDE)
    seen = tower(pictures, output_attentions=True).attentions
    for depth, weights in enumerate(seen):
        for head in range(heads):
            dy, dx = NEIGHBOURS[(head + depth * heads) % len(NEIGHBOURS)]
            looks = weights[:, head, 1:, 1:].mean(0).unflatten(0, (SIDE, SIDE))  # (g, g, P)
            inner = looks[1:-1, 1:-1].argmax(-1)  # whose neighbours are all there
            rows, columns = torch.meshgrid(*[torch.arange(1, SIDE - 1)] * 2, indexing="ij")
            wanted = (rows + dy) * SIDE + columns + dx
            assert (inner == wanted).float().mean() > 0.75, (depth, head)  # by chance 0.02


@pytest.mark.parametrize(("width", "heads"), [(128, 4), (64, 8)])
def test_so_does_every_head_of_sam(width, heads):
    torch.manual_seed(0)
    config = SamVisionConfig(
        hidden_size=width, num_hidden_layers=2, num_attention_heads=heads, image_size=8 * SIDE,
        patch_size=8, global_attn_indexes=[0, 1], output_channels=16, attn_implementation="eager",
    )  # fmt: skip
    tower = SamVisionModel(config).eval().vision_encoder
    look_nearby(tower)
    given = []
    for layer in tower.layers:
        layer.attn.register_forward_hook(lambda module, read, out: given.append(out[1]))
    tower(torch.randn(24, 3, 8 * SIDE, 8 * SIDE))
    for depth, weights in enumerate(given):
        for head, looks in enumerate(weights.unflatten(0, (24, heads)).mean(0)):
            dy, dx = NEIGHBOURS[(head + depth * heads) % len(NEIGHBOURS)]
            inner = looks.unflatten(0, (SIDE, SIDE))[1:-1, 1:-1].argmax(-1)
            rows, columns = torch.meshgrid(*[torch.arange(1, SIDE - 1)] * 2, indexing="ij")
            wanted = (rows + dy) * SIDE + columns + dx
            assert (inner == wanted).float().mean() > 0.75, (depth, head)  # by chance 0.02


def test_what_a_patch_shows_is_seen_beside_its_place():
    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1}
    config = CLIPVisionConfig(**sizes, num_attention_heads=2, image_size=32, patch_size=8)
    tower = CLIPVisionModel(config).eval()
    look_nearby(tower)
    one, other = (tower.embeddings(torch.randn(1, 3, 32, 32))[0, 1:] for _ in range(2))
    changed = (one - other).abs().amax(0) > 0.1  # (E,)
    assert not changed[:32].any()
    assert changed[32:].all()


@pytest.mark.parametrize("heads", [2, 5])
def test_where_places_turn_queries_and_keys_their_biases_are_enough(heads):
    torch.manual_seed(0)
    config = Qwen2_5_VLVisionConfig(
        depth=2, hidden_size=32 * heads, num_heads=heads, intermediate_size=48, patch_size=4,
        out_hidden_size=16, fullatt_block_indexes=[0, 1],
    )  # fmt: skip
    vision = Qwen2_5_VisionTransformerPretrainedModel(config)
    look_nearby_turning(vision.blocks, vision.rotary_pos_emb.inv_freq)
    rows, columns = torch.meshgrid(*[torch.arange(SIDE)] * 2, indexing="ij")
    places = torch.stack([rows.flatten(), columns.flatten()])  # (2, P)
    turns = vision.rotary_pos_emb(torch.zeros(1), places[None])
    cos, sin = (each.reshape(SIDE * SIDE, -1) for each in turns)
    for depth, block in enumerate(vision.blocks):
        shown = torch.randn(SIDE * SIDE, config.hidden_size) * 0.02
        query, key, _ = block.attn.qkv(shown).unflatten(1, (3, heads, -1)).unbind(1)
        query, key = apply_rotary_pos_emb_vision(query, key, cos, sin)
        looks = torch.einsum("phe,qhe->hpq", query, key).unflatten(1, (SIDE, SIDE))
        for head in range(heads):
            dy, dx = NEIGHBOURS[(head + depth * heads) % len(NEIGHBOURS)]
            wanted = ((rows + dy) * SIDE + columns + dx)[1:-1, 1:-1]
            assert torch.equal(looks[head, 1:-1, 1:-1].argmax(-1), wanted)


@pytest.mark.parametrize("heads", [1, 3])
def test_new_memory_is_looked_at_where_it_was(heads):
    torch.manual_seed(0)
    width, theta = 48, 1e4
    memory = MemoryAttention(
        heads * width, 20, 64, num_layers=2, num_heads=heads, dropout=0.0, theta=theta
    )
    look_where_it_was(memory.layers, axial_rates(memory.head_width, memory.theta))
    size = (9, 14)
    table = axial_angles(size, width, theta, torch.device("cpu"))
    shown, kept = torch.randn(size[0] * size[1], heads * width), torch.randn(size[0] * size[1], 20)
    for layer in memory.layers:
        part = layer.cross_attn_image
        query, key = (
            turn(project(rows).unflatten(1, (heads, width)).transpose(0, 1), table)
            for project, rows in ((part.q_proj, shown), (part.k_proj, kept))
        )
        looks = (query @ key.mT * width**-0.5).softmax(-1)  # (heads, P, P)
        assert torch.equal(looks.argmax(-1), torch.arange(len(shown)).expand(heads, -1))
        beside = looks.diagonal(1, 1, 2)[:, :5] / looks.diagonal(0, 1, 2)[:, :5]
        assert (beside < 0.2).all()  # of what is one column further
