"""Detection models of transformers, real ones with small random networks."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from visuomotor.errors import InputError, MissingExtraError
from visuomotor.models.detectors import detector

FRAMES = np.random.default_rng(0).integers(0, 256, (3, 48, 80, 3), np.uint8)


@pytest.fixture
def hub():
    return pytest.importorskip("transformers", reason="the optional part transformers is not here")


def yolos(hub):
    config = hub.YolosConfig(
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=[64, 64],
        num_detection_tokens=5,
        id2label={0: "marker", 1: "face"},
    )
    return hub.YolosForObjectDetection(config)


def detr(hub):
    backbone = hub.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 8, 8, 16], depths=[1, 1, 1, 1], out_features=["stage4"]
    )
    config = hub.DetrConfig(
        use_timm_backbone=False,
        use_pretrained_backbone=False,
        backbone=None,
        backbone_config=backbone,
        d_model=32,
        encoder_layers=1,
        decoder_layers=1,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        num_queries=5,
        id2label={0: "marker", 1: "face"},
    )
    return hub.DetrForObjectDetection(config)


PROCESSORS = {yolos: "YolosImageProcessor", detr: "DetrImageProcessor"}


@pytest.fixture(params=list(PROCESSORS), ids=lambda make: make.__name__)
def folder(request: pytest.FixtureRequest, hub, tmp_path):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        request.param(hub).save_pretrained(tmp_path)
    processor = getattr(hub, PROCESSORS[request.param])
    size = {"shortest_edge": 64, "longest_edge": 128}
    processor(size=size, do_pad=False).save_pretrained(tmp_path)
    return tmp_path


def test_a_users_folder_is_loaded_and_looks_at_each_picture(folder) -> None:
    look = detector("transformers", weights=folder, min_score=0.0)
    found = look(FRAMES)
    assert len(found) == 3
    for one in found:
        assert one.label in ("marker", "face")
        assert 0 < one.score < 1
        assert one.box.top + one.box.height <= 48
        assert one.box.left + one.box.width <= 80
    for i in range(3):
        (alone,) = look(FRAMES[i : i + 1])
        assert (alone.box, alone.label) == (found[i].box, found[i].label)
        assert alone.score == pytest.approx(found[i].score, abs=1e-5)
    assert len(look(FRAMES[..., 0])) == 3
    assert look(FRAMES[:0]) == []
    assert detector("transformers", weights=folder, min_score=1.0)(FRAMES) == [None] * 3
    with pytest.raises(InputError, match="detector transformers: expected pictures"):
        look(FRAMES.astype(np.uint16))


def test_other_folders_are_refused(hub, tmp_path) -> None:
    for said in ("expected weights", "found none"):
        with pytest.raises(InputError, match=said):
            detector("transformers", weights=None if "weights" in said else tmp_path / "no")
    with pytest.raises(InputError, match=r"expected a folder with a config\.json"):
        detector("transformers", weights=tmp_path)
    hub.ViTConfig(hidden_size=8, num_attention_heads=1).save_pretrained(tmp_path)
    with pytest.raises(InputError, match="expected a model that detects objects, but"):
        detector("transformers", weights=tmp_path)


@pytest.mark.parametrize("name", ["transformers", "torchvision"])
def test_without_its_package_the_line_to_install_it_is_said(name, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, f"visuomotor.models.detectors.{name}", raising=False)
    said = f'{name} is not installed; this part needs it: pip install "visuomotor\\[{name}\\]"'
    with pytest.raises(MissingExtraError, match=said):
        detector(name, weights="x")
