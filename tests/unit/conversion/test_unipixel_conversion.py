"""A published UniPixel, as transformers 4 writes it, opens, converts and is refused by name."""

import json
import re

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from deixis.conversion.convert import convert
from deixis.errors import WeightsError
from deixis.models.configs.unipixel_config import RELEASED_TYPE, unipixel_tiny
from deixis.models.published.unipixel_keys import LEGACY, our_name
from deixis.models.released import open_model
from deixis.models.unipixel import UniPixelModel
from deixis.processing.unipixel import UniPixelProcessor
from deixis.reasoning.reasoner import load
from deixis.structures.prompts import Point

SAM = {
    "image_encoder": {
        "trunk": {
            "embed_dim": 8,
            "num_heads": 1,
            "stages": [1, 1, 2, 1],
            "global_att_blocks": [3],
            "window_pos_embed_bkg_spatial_size": [7, 7],
        }
    },
    "memory_attention": {
        "d_model": 32,
        "num_layers": 1,
        "layer": {"dim_feedforward": 56, "dropout": 0.0},
    },
    "memory_encoder": {"out_dim": 16},
}
BACK = (  # our names to published ones, written from the published list, not from our table
    (r"^merge\.", "visual.merger.mlp."),
    (r"^vision\.", "visual."),
    (r"^final_norm\.", "model.norm."),
    (r"^language\.", "model."),
    (r"^prompting\.codes\.", "ref_encoder."),
    (r"^prompting\.point\.", "ref_proj_single."),
    (r"^prompting\.box\.", "ref_proj_double."),
    (r"^prompting\.project\.", "ref_proj."),
    (r"^prompting\.clock\.", "tem_pe."),
    (r"^prompting\.clock_kind\.", "tem_emb."),
    (r"^prompting\.time\.", "tem_proj."),
    (r"^regions\.project\.", "msk_proj."),
    (r"^tracker\.sam\.vision\.backbone\.", "sam2.image_encoder.trunk."),
    (r"^tracker\.sam\.vision\.neck\.convs\.(\d)\.", r"sam2.image_encoder.neck.convs.\1.conv."),
    (r"(trunk\.patch_embed)\.projection\.", r"\1.proj."),
    (r"(trunk\.blocks\.\d+)\.layer_norm(\d)\.", r"\1.norm\2."),
    (r"(trunk\.blocks\.\d+\.mlp)\.proj_in\.", r"\1.layers.0."),
    (r"(trunk\.blocks\.\d+\.mlp)\.proj_out\.", r"\1.layers.1."),
    (r"^tracker\.sam\.prompts\.", "sam2.sam_prompt_encoder."),
    (r"^tracker\.sam\.mask_decoder\.", "sam2.sam_mask_decoder."),
    (r"(mask_decoder\.transformer.*)\.o_proj\.", r"\1.out_proj."),
    (r"(transformer\.layers\.\d)\.layer_norm(\d)\.", r"\1.norm\2."),
    (r"(transformer\.layers\.\d\.mlp)\.proj_in\.", r"\1.layers.0."),
    (r"(transformer\.layers\.\d\.mlp)\.proj_out\.", r"\1.layers.1."),
    (r"layer_norm_final_attn", "norm_final_attn"),
    (r"upscale_conv1", "output_upscaling.0"),
    (r"upscale_layer_norm", "output_upscaling.1"),
    (r"upscale_conv2", "output_upscaling.3"),
    (r"^tracker\.pointer\.", "sam2.obj_ptr_proj."),
    (r"^tracker\.pointer_time\.", "sam2.obj_ptr_tpos_proj."),
    (r"((?:obj_ptr_proj|_head|mlps\.\d)\.)layers\.0\.", r"\1layers.1."),
    (r"((?:obj_ptr_proj|_head|mlps\.\d)\.)proj_in\.", r"\1layers.0."),
    (r"((?:obj_ptr_proj|_head|mlps\.\d)\.)proj_out\.", r"\1layers.2."),
    (r"^tracker\.distance_code$", "sam2.maskmem_tpos_enc"),
    (r"^tracker\.no_memory$", "sam2.no_mem_embed"),
    (r"^tracker\.no_memory_code$", "sam2.no_mem_pos_enc"),
    (r"^tracker\.no_pointer$", "sam2.no_obj_ptr"),
    (r"^tracker\.absent_memory$", "sam2.no_obj_embed_spatial"),
    (r"^tracker\.", "sam2."),
    (r"mask_downsampler\.final_conv\.", "mask_downsampler.encoder.12."),
    (r"feature_projection\.", "pix_feat_proj."),
    (r"memory_encoder\.projection\.", "memory_encoder.out_proj."),
    (r"memory_fuser\.", "fuser."),
    (r"(fuser\.layers\.\d)\.scale$", r"\1.weight"),
    (r"depthwise_conv\.", "dwconv."),
    (r"(fuser\.layers\.\d)\.layer_norm\.", r"\1.norm."),
    (r"pointwise_conv(\d)\.", r"pwconv\1."),
)


def published_name(ours: str) -> str:
    name = ours
    for pattern, there in BACK:
        name = re.sub(pattern, there, name)
    layer = re.fullmatch(r"(.*mask_downsampler)\.layers\.(\d)\.(conv|layer_norm)\.(\w+)", name)
    if layer:
        step = 3 * int(layer[2]) + (layer[3] == "layer_norm")
        name = f"{layer[1]}.encoder.{step}.{layer[4]}"
    return name


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Return a folder as the published code saves it, and the model that it came from."""
    folder = tmp_path_factory.mktemp("published")
    config = unipixel_tiny()
    config.most_answer = 5
    processor = UniPixelProcessor.from_texts(config, ["What is the red square in this image?"])
    torch.manual_seed(0)
    model = UniPixelModel(config).eval()
    text = config.text_config.to_dict()
    values = {
        "model_type": RELEASED_TYPE,
        "text_config": text,
        "vision_config": config.vision_config.to_dict(),
        "sam2_config": "configs/tiny",
        "sam2_image_size": 64,
        "sam2_hidden_tokens": 2,
        "sam2_batch_mode": False,
        "tie_word_embeddings": False,
        "torch_dtype": "float32",
        **{k: v for k, v in config.to_dict().items() if k.endswith("_token_id")},
    }
    (folder / "config.json").write_text(json.dumps(values))
    (folder / "sam2_config.json").write_text(json.dumps(SAM))
    processor.save_pretrained(folder)
    return folder, model


def tensors_of(model) -> dict[str, torch.Tensor]:
    return {published_name(k): v.contiguous() for k, v in model.state_dict().items()}


def written(folder, out, tensors):
    """Return a copy of a published folder with these tensors."""
    out.mkdir()
    for path in folder.glob("*.json"):
        (out / path.name).write_text(path.read_text())
    save_file(tensors, out / "model.safetensors")
    return out


def test_the_table_is_the_way_back_of_the_published_names(published):
    _, model = published
    assert all(our_name(published_name(name)) == name for name in model.state_dict())
    memory = "model.language_model.layers.0.input_layernorm.weight"
    assert our_name(memory) == our_name("model.layers.0.input_layernorm.weight")
    assert len(LEGACY) == 2


@pytest.mark.parametrize("in_memory", [False, True])
def test_a_published_folder_opens_as_it_is_and_answers(published, tmp_path, in_memory):
    folder, model = published
    tensors = tensors_of(model)
    if in_memory:  # as transformers holds them, and as later releases write them
        tensors = {re.sub("^visual[.]", "model.visual.", name): t for name, t in tensors.items()}
        tensors = {
            re.sub("^model[.](?!visual)", "model.language_model.", name): t
            for name, t in tensors.items()
        }
    source = written(folder, tmp_path / "whole", tensors)
    reasoner = load(source)
    for name, value in model.state_dict().items():
        assert torch.equal(reasoner.model.state_dict()[name], value), name
    picture = np.zeros((40, 60, 3), np.uint8)
    answer = reasoner.answer(picture, "What is [1]?", [Point(image=0, x=20, y=9, object_id=1)])
    assert {t.object_id for t in (*answer.targets, *answer.absent)} >= {1}


def test_a_published_folder_converts_whole_and_answers(published, tmp_path):
    folder, model = published
    source = written(folder, tmp_path / "whole", tensors_of(model))
    report = convert(str(source), tmp_path / "ours", "unipixel")
    assert report["filled"] == len(model.state_dict())
    opened = open_model(tmp_path / "ours")
    for name, value in model.state_dict().items():
        assert torch.equal(opened.model.state_dict()[name], value), name


def without(tensors, pattern):
    return {name: value for name, value in tensors.items() if not re.search(pattern, name)}


@pytest.mark.parametrize(
    ("kept", "message"),
    [
        (lambda t: without(t, "gaussian_matrix"), "expected the three random matrices"),
        (lambda t: without(t, "^(seg_head|sam2|ref|tem|msk)"), "got a plain Qwen2.5-VL"),
        (lambda t: without(t, "^(model|visual|lm_head)"), "got the checkpoint of a training stage"),
    ],
)
def test_what_is_no_whole_unipixel_is_refused_by_name(published, tmp_path, kept, message):
    folder, model = published
    source = written(folder, tmp_path / "part", kept(tensors_of(model)))
    with pytest.raises(WeightsError, match=message):
        open_model(source)
    with pytest.raises(WeightsError, match=message):
        convert(str(source), tmp_path / "ours", "unipixel")
    assert not (tmp_path / "ours").exists()


def test_a_plain_qwen_folder_is_refused_by_its_name(published, tmp_path):
    """With its own config, under which nobody would look for seg_head."""
    folder, model = published
    plain = without(tensors_of(model), "^(seg_head|sam2|ref|tem|msk)")
    source = written(folder, tmp_path / "qwen", plain)
    values = json.loads((source / "config.json").read_text())
    own = {key: value for key, value in values.items() if "sam2" not in key and "seg" not in key}
    (source / "config.json").write_text(json.dumps({**own, "model_type": "qwen2_5_vl"}))
    with pytest.raises(WeightsError, match=r'got "qwen2_5_vl"\. That is Qwen2\.5-VL, from which'):
        convert(str(source), tmp_path / "ours", "unipixel")
    with pytest.raises(WeightsError, match=r'got "qwen2_5_vl"\. That is Qwen2\.5-VL, from which'):
        load(source)
    assert not (tmp_path / "ours").exists()


def test_a_folder_without_its_random_matrices_names_each_that_is_lost(published, tmp_path):
    folder, model = published
    for lost in ("sam2.sam_prompt_encoder.pe_layer", "ref_encoder.pe_layer", "tem_pe"):
        source = written(folder, tmp_path / lost, without(tensors_of(model), rf"^{lost}[.].*gauss"))
        with pytest.raises(WeightsError, match=re.escape(our_name(f"{lost}.positional"))):
            load(source)
