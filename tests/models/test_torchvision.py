"""The torchvision detector beside a stand-in: no torchvision fits the PyTorch of these tests.

The stand-in answers as torchvision's detection models do: for each picture (3, H, W) a dict of
boxes (N, 4) as corners, labels and scores, best first.
"""

from __future__ import annotations

import sys
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import nn

from visuomotor.errors import InputError
from visuomotor.models.detectors import detector
from visuomotor.types import ROI


class Stand(nn.Module):
    """Finds the bright half of a picture, with its mean as score."""

    def __init__(self, weights, weights_backbone, num_classes) -> None:
        super().__init__()
        assert weights is weights_backbone is None, "nothing is downloaded"
        self.number = nn.Parameter(torch.zeros(num_classes))
        self.norm = nn.BatchNorm1d(1)

    def forward(self, pictures):
        return [self.found(picture) for picture in pictures]

    def found(self, picture):
        assert not self.training
        assert picture.shape[0] == 3
        assert picture.max() <= 1
        if picture.max() == 0:
            nothing = torch.zeros(0)
            return {"boxes": torch.zeros(0, 4), "labels": nothing.long(), "scores": nothing}
        places = (picture.mean(0) > 0.5).nonzero()
        (top, left), (bottom, right) = places.amin(0), places.amax(0)
        box = torch.stack([left, top, right + 1, bottom + 1]).float()
        level = picture.amax()
        return {
            "boxes": torch.stack([torch.zeros(4), box]),
            "labels": torch.tensor([0, int(self.number.argmax())]),
            "scores": torch.stack([level / 2, level]),
        }


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch):
    top, models, detection = (
        ModuleType(f"torchvision{rest}") for rest in ("", ".models", ".models.detection")
    )
    detection.fasterrcnn_resnet50_fpn = detection.retinanet_resnet50_fpn = Stand
    top.models, models.detection = models, detection
    for module in (top, models, detection):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    name = "visuomotor.models.detectors.torchvision"
    monkeypatch.delitem(sys.modules, name, raising=False)
    yield
    sys.modules.pop(name, None)


def weights(path, classes: int = 91, best: int = 2):
    saved = Stand(None, None, classes).state_dict()
    saved["number"][best] = 1.0
    del saved["norm.num_batches_tracked"]
    torch.save(saved, path)
    return path


@pytest.mark.usefixtures("stand_in")
def test_the_best_detection_is_answered_in_pixels(tmp_path) -> None:
    look = detector(
        "torchvision",
        weights=weights(tmp_path / "w.pth"),
        model="retinanet_resnet50_fpn",
        labels=["background", "face", "marker"],
    )
    frames = np.zeros((2, 40, 60), np.uint8)
    frames[0, 10:30, 20:50] = 200
    found = look(frames)
    assert found[0].box == ROI(10, 20, 20, 30)
    assert found[0].label == "marker"
    assert found[0].score == pytest.approx(200 / 255)
    assert found[1] is None


@pytest.mark.usefixtures("stand_in")
def test_what_does_not_fit_is_named(tmp_path) -> None:
    path = weights(tmp_path / "w.pth", classes=7)
    with pytest.raises(InputError, match=r"'number': expected shape \(91,\), got \(7,\)"):
        detector("torchvision", weights=path)
    look = detector("torchvision", weights=path, classes=7)
    (found,) = look(np.full((1, 8, 8), 255, np.uint8))
    assert found.label == "class 2"
    with pytest.raises(InputError, match="did you mean 'retinanet_resnet50_fpn'"):
        detector("torchvision", weights=path, model="retinanet_resnet50")


def test_one_that_does_not_fit_pytorch_is_said_so(tmp_path, monkeypatch) -> None:
    folder = tmp_path / "torchvision"
    folder.mkdir()
    said = "operator torchvision::nms does not exist"
    (folder / "__init__.py").write_text(f"raise RuntimeError({said!r})")
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "visuomotor.models.detectors.torchvision", raising=False)
    with pytest.raises(InputError, match=f"that fits torch .*, but {said}"):
        detector("torchvision", weights="x")
