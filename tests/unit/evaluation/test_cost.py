"""Operations counted on the meta device are those of the formulas, written out by hand."""

import json

import pytest

from deixis.errors import ConfigError
from deixis.evaluation.costing.bill import NAMED, QUESTION, STATIONS, TEXT
from deixis.evaluation.costing.cost import count_operations
from deixis.models.configs.pixellm_config import pixellm_7b, pixellm_tiny
from deixis.models.configs.prima_config import prima_tiny
from deixis.models.configs.unipixel_config import unipixel_3b, unipixel_tiny
from deixis.models.deixis import deixis_tiny

COUNT, TOKENS = 2, 5


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("prima")
    prima_tiny().save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def counted(folder):
    return count_operations(str(folder), COUNT, TOKENS)


def llama(read, before, config):
    """Reading so many tokens after others, and one word from the last."""
    width, inner = config.hidden_size, config.intermediate_size
    projections = 4 * width * width + 3 * width * inner
    attention = 2 * read * (before + read) * width
    layer = 2 * read * projections + 2 * attention
    return config.num_hidden_layers * layer + 2 * width * config.vocab_size


def vit(tokens, config):
    width, inner = config.hidden_size, config.intermediate_size
    layer = 2 * tokens * (4 * width * width + 2 * width * inner) + 2 * 2 * tokens**2 * width
    patches = 2 * (tokens - 1) * 3 * config.patch_size**2 * width
    return config.num_hidden_layers * layer + patches


def test_the_language_decoder_costs_what_its_formula_says(counted):
    config = prima_tiny().text_config
    columns = TEXT + NAMED * COUNT + 3 * COUNT
    prefill = counted["stations"]["language_prefill"] * 1e12
    assert prefill == pytest.approx(llama(columns, 0, config), rel=1e-6)
    steps = sum(llama(1, columns + step, config) for step in range(TOKENS))
    assert counted["stations"]["language_steps"] * 1e12 == pytest.approx(steps, rel=1e-6)


def test_the_relation_costs_what_its_formula_says(counted):
    config = prima_tiny()
    rows, width, features = 3, 20, 24
    patches = 10 * COUNT
    relational = 2 * (2 * rows * width**2 + 2 * patches * features * width)
    relational += 2 * 2 * rows * patches * width
    text, inner, layers = rows + QUESTION, 36, config.qformer_config.num_hidden_layers
    own = 2 * text * (4 * width**2 + 2 * width * inner) + 2 * 2 * text**2 * width
    cross = 2 * (2 * rows * width**2 + 2 * 10 * features * width) + 2 * 2 * rows * 10 * width
    qformer = COUNT * (layers * own + 2 * cross)  # every other of three layers looks
    project = 2 * COUNT * rows * width * 40
    assert counted["stations"]["relation"] * 1e12 == pytest.approx(
        relational + qformer + project, rel=1e-6
    )


def test_all_patches_cost_no_q_former_and_a_longer_prompt(tmp_path, counted):
    config = prima_tiny()
    values = {**config.to_dict(), "image_rows": "patches", "relation": "none"}
    type(config).from_dict(values).save_pretrained(tmp_path)
    stations = count_operations(str(tmp_path), COUNT, TOKENS)["stations"]
    assert stations["vision"] == pytest.approx(counted["stations"]["vision"])
    assert stations["relation"] * 1e12 == pytest.approx(2 * COUNT * 9 * 24 * 40)  # the projection
    columns = TEXT + NAMED * COUNT + 9 * COUNT
    prefill = llama(columns, 0, config.text_config)
    assert stations["language_prefill"] * 1e12 == pytest.approx(prefill, rel=1e-6)


def test_every_image_costs_its_vision_once_more(folder, counted):
    one = count_operations(str(folder), 1, TOKENS)["stations"]
    two = counted["stations"]
    for station in ("vision", "decoding"):
        assert two[station] == pytest.approx(2 * one[station], rel=1e-9)
    sam = one["vision"] * 1e12 - vit(10, prima_tiny().vision_config)
    assert sam > 0
    assert two["language_steps"] > one["language_steps"]


def test_the_report_has_every_station_and_their_sum(counted):
    assert json.loads(json.dumps(counted)) == counted
    assert counted.keys() == {"model", "images", "answer_tokens", "stations", "total_tflops"}
    assert tuple(counted["stations"]) == STATIONS
    assert counted["total_tflops"] == pytest.approx(sum(counted["stations"].values()))


def test_three_images_cost_prima_a_quarter_less_than_glamm_at_least():
    """The published saving (v1, protocol unknown) is 25.3 %; here with our own protocol."""
    prima, glamm = (count_operations(name, 3, 128)["total_tflops"] for name in ("prima", "glamm"))
    assert prima <= (1 - 0.253) * glamm
    assert 20 < prima < glamm < 60


def test_pixellm_reads_256_tokens_of_an_image_and_draws_with_its_own_decoder():
    stations = count_operations("pixellm_7b", 1, 2)["stations"]
    columns = TEXT + NAMED + 256
    expected = llama(columns, 0, pixellm_7b().text_config)
    assert stations["language_prefill"] * 1e12 == pytest.approx(expected, rel=1e-6)
    assert 0.3 < stations["vision"] < 1.5  # CLIP at 448, no second encoder
    assert stations["decoding"] > 0.05


@pytest.mark.parametrize(
    ("name", "images", "tokens", "message"),
    [
        ("primma", 1, 1, 'expected one of .*got "primma".*prima'),
        ("prima", 0, 1, "images: expected 1 or more, got 0"),
        ("prima", 1, 0, "answer tokens: expected 1 or more, got 0"),
    ],
)
def test_what_cannot_be_counted_is_said(name, images, tokens, message):
    with pytest.raises(ConfigError, match=message):
        count_operations(name, images, tokens)


def test_a_folder_of_another_family_is_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ConfigError, match=r'expected a model of prima, .* got "bert"'):
        count_operations(str(tmp_path), 1, 1)
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(ConfigError, match="expected JSON, got"):
        count_operations(str(tmp_path), 1, 1)


def test_folders_of_other_families_are_counted_as_their_presets_are(tmp_path):
    deixis_tiny().save_pretrained(tmp_path / "ours")
    names = (str(tmp_path / "ours"), "deixis_tiny")
    by_folder, by_name = (count_operations(name, 1, 2) for name in names)
    assert by_folder["stations"] == by_name["stations"]
    config = pixellm_tiny()
    config.save_pretrained(tmp_path / "small")
    stations = count_operations(str(tmp_path / "small"), 2, 2)["stations"]
    columns = TEXT + NAMED * 2 + 2 * config.image_grid**2
    expected = llama(columns, 0, config.text_config)
    assert stations["language_prefill"] * 1e12 == pytest.approx(expected, rel=1e-6)
    unipixel_tiny().save_pretrained(tmp_path / "clips")
    assert count_operations(str(tmp_path / "clips"), 1, 2)["total_tflops"] > 0
    assert count_operations("deixis-tiny", 1, 2)["total_tflops"] > 0  # of the package


def test_every_preset_of_ours_is_counted_and_images_cost_more():
    for name in ("deixis_tiny", "deixis_shipped"):
        one, three = (count_operations(name, images, 8) for images in (1, 3))
        assert three["stations"]["vision"] == pytest.approx(3 * one["stations"]["vision"])
        assert three["total_tflops"] > one["total_tflops"] > 0


def test_unipixel_costs_what_its_formula_says():
    config = unipixel_3b()
    counted = count_operations("unipixel_3b", 2, TOKENS)["stations"]
    text, cells = config.text_config, 16 * 16
    width, inner, keys = text.hidden_size, text.intermediate_size, 2 * 128
    columns = TEXT + NAMED * 2 + 2 * cells
    layer = 2 * columns * (2 * width * width + 2 * width * keys + 3 * width * inner)
    layer += 2 * 2 * columns * columns * width
    prefill = text.num_hidden_layers * layer + 2 * width * text.vocab_size
    assert counted["language_prefill"] * 1e12 == pytest.approx(prefill, rel=1e-6)
    vision, patches, wide = config.vision_config, 32 * 32, 1280
    own = 2 * patches * (4 * wide * wide + 3 * wide * vision.intermediate_size)
    full = len(vision.fullatt_block_indexes)
    attention = 2 * 2 * wide * patches * (full * patches + (vision.depth - full) * 64)
    embed = 2 * patches * 3 * 2 * 14 * 14 * wide
    merge = 2 * cells * ((4 * wide) ** 2 + 4 * wide * width)
    qwen = 2 * (vision.depth * own + attention + embed + merge)
    sam = counted["vision"] * 1e12 - qwen
    one = count_operations("unipixel_3b", 1, TOKENS)["stations"]["vision"] * 1e12
    assert 0 < sam == pytest.approx(2 * one - qwen, rel=1e-6)
