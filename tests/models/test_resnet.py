"""ResNet with torchvision's names, and users' weight files."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from visuomotor.errors import InputError
from visuomotor.models.encoders import encoder, resnet152
from visuomotor.models.resnet import RESNET152, ResNet
from visuomotor.models.weights import load_torchvision, read_weights

TINY = (1, 2, 1, 1)


def tiny(classes: int | None = None, seed: int = 0) -> ResNet:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = ResNet(TINY, classes, width=8)
        for module in network.modules():  # as if it had been trained
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.running_mean, -0.1, 0.1)
                nn.init.uniform_(module.running_var, 0.5, 1.5)
        return network.eval()


def test_resnet152_has_the_published_number_of_parameters_and_torchvisions_names() -> None:
    with torch.device("meta"):
        network = ResNet(RESNET152, 1000)
    assert sum(p.numel() for p in network.parameters()) == 60_192_808
    assert network.size == 2048
    names = set(network.state_dict())
    assert len(names) == 932
    assert {
        "conv1.weight",
        "bn1.running_var",
        "bn1.num_batches_tracked",
        "layer1.0.conv1.weight",
        "layer1.0.downsample.0.weight",
        "layer1.0.downsample.1.bias",
        "layer2.7.bn3.weight",
        "layer3.35.conv2.weight",
        "layer4.2.conv3.weight",
        "fc.bias",
    } <= names
    assert not {name for name in names if ".1.downsample" in name}


def test_the_stride_is_in_the_middle_convolution() -> None:
    block = ResNet((1, 1, 1, 1), width=8).layer2[0]
    assert [block.conv1.stride, block.conv2.stride, block.conv3.stride] == [(1, 1), (2, 2), (1, 1)]


def test_features_are_the_last_stage_averaged_and_the_classifier_reads_them() -> None:
    network, pictures = tiny(5), torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        features = network.features(pictures)
        torch.testing.assert_close(network(pictures), network.fc(features))
        assert features.shape == (2, 256)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("old", [False, True])
def test_weight_files_load_with_or_without_classifier_and_counters(tmp_path, suffix, old) -> None:
    saved = {name: value.contiguous() for name, value in tiny(7).state_dict().items()}
    if old:  # as torchvision's first files
        saved = {name: v for name, v in saved.items() if "num_batches_tracked" not in name}
    path = tmp_path / f"net{suffix}"
    if suffix == ".pth":
        torch.save(saved, path)
    else:
        save_file(saved, path)
    network = tiny(seed=1)
    load_torchvision(network, read_weights(path), str(path), spare="fc.")
    pictures = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(network(pictures), tiny(7).features(pictures))


def test_the_first_weight_that_does_not_fit_is_named() -> None:
    weights = tiny().state_dict()
    lacking = {name: v for name, v in weights.items() if name != "layer2.1.conv2.weight"}
    with pytest.raises(InputError, match=r"w\.pth: expected a weight 'layer2\.1\.conv2\.weight'"):
        load_torchvision(tiny(), lacking, "w.pth")
    wrong = {**weights, "layer1.0.conv1.weight": torch.zeros(4, 8, 1, 1)}
    with pytest.raises(InputError, match=r"layer1\.0\.conv1\.weight'.*\(8, 8, 1, 1\), got \(4, 8"):
        load_torchvision(tiny(), wrong, "w.pth")
    deeper = {**weights, "layer3.1.conv1.weight": torch.zeros(1)}
    with pytest.raises(InputError, match=r"'layer3\.1\.conv1\.weight' has no place"):
        load_torchvision(tiny(), deeper, "w.pth")


def test_a_pickle_that_runs_code_and_other_files_are_refused(tmp_path) -> None:
    class Harm:
        def __reduce__(self):
            return print, ("harm",)

    path = tmp_path / "w.pth"
    torch.save({"conv1.weight": Harm()}, path)
    with pytest.raises(InputError, match="tensors alone, but"):
        read_weights(path)
    torch.save([torch.zeros(1)], path)
    with pytest.raises(InputError, match="expected weights by name, got list"):
        read_weights(path)
    for name in ("w.pth", "w.safetensors"):
        (tmp_path / name).write_bytes(b"nothing of the kind")
        with pytest.raises(InputError, match="expected weights as"):
            read_weights(tmp_path / name)


def test_the_encoder_takes_a_users_file(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resnet152, "RESNET152", TINY)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = ResNet(TINY, 3)
    path = tmp_path / "w.pth"
    torch.save(network.state_dict(), path)
    frames = np.random.default_rng(0).integers(0, 256, (3, 50, 80, 3), np.uint8)
    made = encoder("resnet152", weights=path, size_px=32)
    assert made.size == 2048
    found = made(frames)
    with torch.no_grad():
        planes = torch.from_numpy(resnet152.planes(frames, 32, 32))
        expected = network.eval().features(planes)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)
    gray = frames[..., 0]
    np.testing.assert_allclose(made(gray), made(np.stack([gray] * 3, 3)), atol=1e-5)
    assert made(frames[:0]).shape == (0, 2048)
    with pytest.raises(InputError, match="uint8"):
        made(frames.astype(np.uint16))
    # What is a ResNet of other depths does not fit.
    monkeypatch.setattr(resnet152, "RESNET152", RESNET152)
    with pytest.raises(InputError, match=r"expected a weight 'layer1\.1\.conv1\.weight'"):
        encoder("resnet152", weights=path)


def test_pictures_are_normalised_as_for_imagenet() -> None:
    level = np.array([10, 100, 200], np.uint8)
    planes = resnet152.planes(np.full((1, 40, 60, 3), level), 32, 32)
    expected = (level / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(planes[0].mean((1, 2)), expected, rtol=1e-5)
    assert planes.shape == (1, 3, 32, 32)


def test_missing_files_are_said_so(tmp_path) -> None:
    with pytest.raises(InputError, match="encoder resnet152: expected weights, the path of"):
        encoder("resnet152")
    with pytest.raises(InputError, match=r"no\.pth: expected .*, found none"):
        encoder("resnet152", weights=tmp_path / "no.pth")
