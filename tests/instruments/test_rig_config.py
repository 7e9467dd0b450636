"""Rig files, read strictly."""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path

import pytest
from toy_rig import plain

from visuomotor.errors import InputError, MissingExtraError
from visuomotor.instruments import driving
from visuomotor.instruments.driving import drivers
from visuomotor.instruments.rig_config import load_rig, rig_from_plain, rig_to_plain, rig_to_toml

EXAMPLES = Path(__file__).parents[2] / "examples" / "rigs"
pytestmark = pytest.mark.usefixtures("toy_driver")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"focus__soft_limits": None}, "focus: expected a key 'soft_limits', found none"),
        ({"focus__never_pass": None}, "focus: expected a key 'never_pass'"),
        ({"focus__towards_sample": None}, "focus: expected a key 'towards_sample'"),
        ({"focus__towards_sample": "upp"}, "did you mean 'up'"),
        ({"focus__soft_limits": [10, -10]}, "the lower one first, got 10 and -10"),
        ({"focus__soft_limits": [1, 2, 3]}, "expected 2 finite numbers"),
        ({"focus__soft_limits": "all"}, "expected a list"),
        ({"focus__hard_limits": [-5.0, 5.0]}, "within focus: hard_limits -5 to 5"),
        ({"focus__never_pass": -11.0}, "never_pass"),
        ({"focus__setle_ms": 3}, "unknown key 'setle_ms'; did you mean 'settle_ms'"),
        ({"focus__settle_ms": -3}, "settle_ms: expected 0"),
        ({"focus__backlash": 1.0}, 'approach: expected "up" or "down"'),
        ({"focus__fine_step": None}, "or a table \\[optics\\], got neither"),
        ({"focus__fine_step": 100.0}, "at most the range 20"),
        ({"focus__driver": "micromanagr"}, "did you mean 'micromanager'"),
        (
            {"camera__driver": "recordin", "recording": {"stack": "x"}},
            "toy.toml: camera: driver: 'recordin' is not known; did you mean 'recording'",
        ),
        ({"camera": None}, "expected a table"),
        ({"camera__exposure_ms": 0}, "exposure_ms"),
        ({"camera__exposure_ms": "long"}, "expected float, got 'long'"),
        ({"camera__roi": [0, 0, 10]}, "roi: expected 4 whole numbers"),
        ({"camera__roi": [0, 0, 0, 0]}, r"width of 1 or more, got \[0, 0, 0, 0\]"),
        ({"camera__roi": [0, -1, 8, 8]}, "left of 0 or more"),
        ({"camera__roi": [0, 0, 8.5, 8]}, "roi: expected int, got 8.5"),
        ({"camera__display_range": [255, 0]}, "the lower one first"),
        ({"channels__DAPI": "deep"}, "channels: DAPI: expected a distance"),
        ({"channels__DAPI": True}, "channels: DAPI: expected a distance, got True"),
        ({"safe__position": 15.0}, "safe: position: expected -10 to 10"),
        ({"sharpness__measure": "tenengra"}, "did you mean 'tenengrad'"),
        ({"optics": {"numerical_aperture": 1.2}}, "numerical_aperture: expected"),
        ({"recording": {"stack": "x"}}, "expected a driver in use"),
        ({"sharpnes": {}}, "did you mean 'sharpness'"),
        ({"name": ""}, "expected a name"),
    ],
)
def test_what_is_wrong_in_a_file_is_said_in_a_sentence(changes, words: str) -> None:
    with pytest.raises(InputError, match=words):
        rig_from_plain(plain(**changes), "toy.toml", Path())


def test_a_file_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="found none"):
        load_rig(tmp_path / "rig.toml")
    (tmp_path / "rig.toml").write_text("name = [")
    with pytest.raises(InputError, match="expected JSON or TOML"):
        load_rig(tmp_path / "rig.toml")


def test_a_missing_sdk_is_named_with_its_pip_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pymmcore_plus", None)
    monkeypatch.delitem(sys.modules, f"{driving.PACKAGE}.micromanager", raising=False)
    values = plain(camera__driver="micromanager", micromanager={"config": "x.cfg"})
    with pytest.raises(MissingExtraError, match=r'pip install "visuomotor\[micromanager\]"'):
        rig_from_plain(values, "toy.toml", Path())


def test_a_fine_step_comes_from_the_optics() -> None:
    optics = {"numerical_aperture": 0.5, "wavelength_um": 0.5, "index": 1.0}
    config = rig_from_plain(plain(focus__fine_step=None, optics=optics), "toy", Path())
    assert config.optics.depth_of_field_um == pytest.approx(2.0)
    assert config.fine_step == pytest.approx(0.5)
    camera = optics | {"magnification": 10.0, "camera_pixel_um": 5.0}
    config = rig_from_plain(plain(focus__fine_step=None, optics=camera), "toy", Path())
    assert config.optics.depth_of_field_um == pytest.approx(2.0 + 5.0 / (10 * 0.5))
    with pytest.raises(InputError, match=r"expected it in V; \[optics\]"):
        rig_from_plain(plain(focus__fine_step=None, focus__unit="V", optics=optics), "t", Path())


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.toml")), ids=lambda path: path.stem)
def test_examples_read_and_write_the_same(path: Path) -> None:
    if path.stem.startswith("micromanager"):
        pytest.importorskip("pymmcore_plus", reason="visuomotor[micromanager] is not installed")
    config = load_rig(path)
    again = rig_from_plain(tomllib.loads(rig_to_toml(config)), "again", config.folder)
    assert again == config
    json.dumps(rig_to_plain(config))


def test_every_driver_has_an_example() -> None:
    used = {tomllib.loads(path.read_text())["focus"]["driver"] for path in EXAMPLES.glob("*.toml")}
    assert used == set(drivers())
