"""The Micro-Manager driver, on real cores: the demo camera, and emulated devices that fail."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import visuomotor as vm
from visuomotor.agents.search import searches
from visuomotor.configs import to_plain
from visuomotor.errors import InputError, RigError
from visuomotor.instruments.recording import record
from visuomotor.instruments.rig import Rig
from visuomotor.instruments.rig_config import load_rig, rig_from_plain
from visuomotor.instruments.workcells import Workcells
from visuomotor.runs import Run
from visuomotor.training.config import train_config
from visuomotor.training.examining import prepare
from visuomotor.training.local import train

pytest.importorskip("pymmcore_plus", reason="visuomotor[micromanager] is not installed")
pytest.importorskip("mm_test_adapters", reason="mm-test-adapters is not installed")

from visuomotor.benchmarks._emulated import EmulatedMicroscope
from visuomotor.benchmarks._faults import FAULTS, kill, provoke
from visuomotor.instruments.drivers import micromanager
from visuomotor.instruments.drivers.micromanager import OFFSET, Settings, on_core, unload

EXAMPLE = Path(__file__).parents[2] / "examples" / "rigs" / "micromanager_demo.toml"
SMALL = {"Camera.OnCameraCCDXSize": "128", "Camera.OnCameraCCDYSize": "128"}


@pytest.fixture(autouse=True)
def notes_of_this_test(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def demo(mode: str, **sharpness) -> Workcells:
    config = load_rig(EXAMPLE)
    driver = replace(config.drivers["micromanager"], properties={"Camera.Mode": mode, **SMALL})
    narrow = replace(config.focus, soft_limits=(-25.0, 25.0))  # sweeps are long
    camera = replace(config.camera, display_range=None)  # each mode has levels of its own
    config = replace(config, drivers={"micromanager": driver}, focus=narrow, camera=camera)
    return Workcells([Rig(replace(config, sharpness=replace(config.sharpness, **sharpness)))])


@pytest.fixture(scope="module")
def microscope():
    made = EmulatedMicroscope()
    yield made
    made.close()


@pytest.mark.parametrize("mode", ["Artificial Waves", "Fluorescent Beads"])
def test_every_search_focuses_the_demo_camera(mode: str) -> None:
    # The demo's waves do not blur, they darken.
    with demo(mode, brightness_counts=mode == "Artificial Waves") as rig:
        for name in searches():
            for start in (-20.0, 20.0):
                (result,) = vm.focus_cells(rig, vm.load_policy(f"search:{name}"), start=start)
                print(f"{mode}, {name} from {start:g}: {result.position:.3g}, {result.exposures}")
                assert result.verdict == "focused", (name, start, result.reason)
                assert abs(result.position) <= 1.0, (name, start)


@pytest.mark.parametrize(
    ("mode", "agent", "patience"),
    [
        ("Fluorescent Beads", {}, 5),
        ("Artificial Waves", {"jitter_px": 32}, 10),  # they wander on with every picture
    ],
)
def test_a_policy_trained_on_a_stack_recorded_from_the_demo(
    tmp_path: Path, mode: str, agent, patience: int
) -> None:
    dark = mode == "Artificial Waves"
    with demo(mode, brightness_counts=dark) as rig:
        record(rig.rigs[0], np.linspace(-25, 25, 101), tmp_path / "demo.ome.tif")
        settings = {"positions": 101, "patience": patience, "threads": 1, "agent": agent}
        config = train_config(settings, "test")
        config = replace(config, task=replace(config.task, brightness_counts=dark))
        stack = prepare(vm.FocalStack.load(tmp_path / "demo.ome.tif"), config)
        run = Run.create(tmp_path, "demo", to_plain(config))
        assert train(config, stack, run, lambda metrics: None).best_accuracy == 1.0
        for start in (-20.0, 20.0):
            (result,) = vm.focus_cells(rig, vm.load_policy(str(run.path)), start=start)
            print(f"{mode}, trained, from {start:g}: {result.position:.3g}, {result.exposures}")
            assert result.verdict == "focused"
            assert abs(result.position) <= 1.0


def test_noise_is_no_sample_for_every_search() -> None:
    with demo("Noise") as rig:
        for name in searches():
            for start in (-20.0, 15.0):
                (result,) = vm.focus_cells(rig, vm.load_policy(f"search:{name}"), start=start)
                assert result.verdict == "no_sample", (name, start, result.reason)


def test_names_that_are_not_there() -> None:
    config = load_rig(EXAMPLE)
    for part, label, words in (
        ("camera", "Camra", "camera: device: 'Camra'.*did you mean 'Camera'"),
        ("focus", "Q", "focus: device: 'Q'.*there: .*Z"),
    ):
        wrong = replace(config, **{part: replace(getattr(config, part), device=label)})
        with pytest.raises(InputError, match=words):
            Rig(wrong).__enter__()
    for settings, words in (
        ({"config": "nothing.cfg"}, "nothing.cfg, found none"),
        ({"adapters": ("nowhere",)}, "adapters: expected a folder"),
        ({"properties": {"Camera.Mod": "x"}}, "did you mean 'Camera.Mode'"),
        ({"properties": {"Camra.Mode": "Noise"}}, "no device 'Camra' .*did you mean 'Camera'"),
        ({"properties": {"Camera.Mode": "Noisy"}}, "'Camera.Mode': expected one of .*Noise, got"),
        ({"properties": {"Camera.Gain": 99}}, "'Camera.Gain': expected -5 to 8, got '99'"),
        ({"properties": {"Camera.Gain": "high"}}, "'Camera.Gain': expected -5 to 8, got 'high'"),
        ({"properties": {"Camera.CameraName": "x"}}, "read only"),
    ):
        driver = replace(config.drivers["micromanager"], **settings)
        with pytest.raises(InputError, match=words):
            Rig(replace(config, drivers={"micromanager": driver})).__enter__()
    with pytest.raises(InputError, match="properties: expected a table"):
        Settings("x.cfg", properties="Camera.Gain = 2")


@pytest.mark.parametrize("broken", [{}, {"properties": {"Camera.Gain": "99"}}])
def test_a_core_that_is_not_kept_is_unloaded(tmp_path: Path, monkeypatch, broken) -> None:
    unloaded = []
    monkeypatch.setattr(micromanager, "unload", lambda core: unloaded.append(unload(core)))
    (tmp_path / "broken.cfg").write_text("Device,Camera,NoSuchLibrary,NoSuchDevice\n")
    config = "MMConfig_demo.cfg" if broken else "broken.cfg"
    with pytest.raises((InputError, RigError)):
        micromanager.connect(Settings(config, ("mm_test_adapters",), **broken), tmp_path)
    assert len(unloaded) == 1


def test_a_configuration_that_does_not_load(tmp_path: Path) -> None:
    (tmp_path / "broken.cfg").write_text("Device,Camera,NoSuchLibrary,NoSuchDevice\n")
    config = load_rig(EXAMPLE)
    driver = replace(config.drivers["micromanager"], config=str(tmp_path / "broken.cfg"))
    with pytest.raises(RigError, match=r"broken\.cfg could not be loaded"):
        Rig(replace(config, drivers={"micromanager": driver})).__enter__()


def test_live_mode_exposure_and_region_are_as_they_were(microscope) -> None:
    core, config = microscope.core, microscope.rig()
    config = replace(config, camera=replace(config.camera, exposure_ms=3.0, roi=(8, 8, 64, 64)))
    core.setExposure(21.0)
    core.startContinuousSequenceAcquisition(0)
    rig = Rig(config, connections=on_core(core))
    with rig:
        assert not core.isSequenceRunning()
        assert core.getExposure() == 3.0
        assert rig.snap().shape == (64, 64)
    assert core.isSequenceRunning()
    assert core.getExposure() == 21.0
    assert core.getROI() == [0, 0, 128, 128]
    core.stopSequenceAcquisition()


def test_the_offset_of_a_hardware_autofocus_is_a_drive(microscope) -> None:
    core = microscope.core
    drive = on_core(core)["micromanager"].axis(OFFSET)
    core.setAutoFocusOffset(3.0)
    drive.move(4.5)
    assert drive.read() == pytest.approx(core.getAutoFocusOffset())
    assert not drive.is_moving()
    assert drive.travel() is None
    label = core.getAutoFocusDevice()
    core.setAutoFocusDevice("")
    with pytest.raises(InputError, match="needs an autofocus device"):
        on_core(core)["micromanager"].axis(OFFSET)
    core.setAutoFocusDevice(label)


@pytest.mark.parametrize("fault", [name for name in FAULTS if name != "killed"])
@pytest.mark.parametrize("at", [0, 1, 3])
def test_faults_end_in_a_verdict_and_leave_the_rig_as_it_was(microscope, fault, at) -> None:
    episode = provoke(microscope, fault, at, vm.load_policy("search:hill-climb"))
    assert episode.complaints == []
    if fault == "stage_pretends":
        assert episode.verdict in {"unsure", "focused"}
    else:
        assert episode.verdict == ("aborted" if fault.startswith("ctrl_c") else "error")


@pytest.mark.parametrize("at", [0, 2])
def test_the_start_after_a_kill_reads_the_true_state(tmp_path: Path, at: int, monkeypatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # the killed process keeps its notes here, too
    assert kill(tmp_path / "hardware.json", at).complaints == []


def test_a_thousand_random_commands_and_none_is_outside(microscope) -> None:
    seen = []
    generator = np.random.default_rng(0)
    config = microscope.rig(soft_limits=[-3.0, 9.0], never_pass=5.0)
    with Rig(config, connections=on_core(microscope.core)) as rig:
        for target in generator.normal(0, 20, 1000).tolist():
            rig.focus.move_to(target)
            seen.append(microscope.stage.at)
    assert min(seen) == -3.0
    assert max(seen) == 5.0


def test_colour_cameras_give_three_channels() -> None:
    config = load_rig(EXAMPLE)
    changes = {"Camera.PixelType": "32bitRGB", **SMALL}
    driver = replace(config.drivers["micromanager"], properties=changes)
    with Rig(replace(config, drivers={"micromanager": driver})) as rig:
        assert rig.snap().shape == (128, 128, 3)


def test_a_rig_of_two_drivers(microscope, tmp_path: Path) -> None:
    values = {
        "name": "mixed",
        "camera": {"driver": "microscope"},
        "focus": {
            "driver": "micromanager",
            "device": "Emulated stage",
            "towards_sample": "up",
            "soft_limits": [-5.0, 5.0],
            "never_pass": 6.0,
            "fine_step": 0.5,
        },
        "micromanager": {"config": "unused.cfg"},
    }
    rig = Rig(rig_from_plain(values, "mixed", tmp_path), connections=on_core(microscope.core))
    with rig:
        rig.focus.move_to(2.0)
        assert microscope.stage.at == 2.0
        assert rig.snap().shape == (192, 192)
