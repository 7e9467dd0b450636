"""Camera control for a person: an honest verdict, every picture counted, all put back.

One real simulator, whose light and scene are set by the test, and fakes that raise or hang up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from own_instrument import Steps
from shown_camera import CameraScript, FailingCamera, KnowingCamera, ShownCamera
from toys import blur_stack

from visuomotor.agents.base import PolicySpec
from visuomotor.agents.camera_searches import AutoExposure
from visuomotor.camera_runner import control_camera
from visuomotor.errors import InputError, RigError
from visuomotor.instruments.simulated.liquid_lens_camera import LiquidLensCamera
from visuomotor.instruments.simulated.lit_camera import LiquidLensCameraConfig
from visuomotor.instruments.simulated.lit_scenes import scene_pool
from visuomotor.tasks.camera_control import CameraControlConfig, CameraControlTask
from visuomotor.tasks.camera_judging import GOOD_ENDS, CameraResult, CameraVerdict

BOTH = CameraControlConfig(
    observation=("levels", "settings", "focusing"), detector="aruco", max_steps=4
)
EXPOSE, FOCUS = replace(BOTH, control="exposure"), replace(BOTH, control="focus")
CONFIGS = {"both": BOTH, "exposure": EXPOSE, "focus": FOCUS}
START_US, START_V = 10_000.0, 30.0
MARKER, PRINT = 0, 1
"""Numbers of the simulator's scenes."""
EXPOSURES = CameraControlTask(BOTH).exposures_us


@pytest.fixture(scope="module")
def simulator() -> LiquidLensCamera:
    scenes = scene_pool("test", 1) + scene_pool("test", 1, kinds=("photo",))
    return LiquidLensCamera(LiquidLensCameraConfig(noise=False, changes=False), scenes)


@pytest.fixture
def rig(simulator: LiquidLensCamera, monkeypatch: pytest.MonkeyPatch) -> LiquidLensCamera:
    """Before a card with a marker, at 100 lx."""
    at = np.array([0])
    simulator.set_conditions(
        at, scene=MARKER, illuminance_lx=100.0, distance_cm=170.0, exposure_us=START_US
    )
    monkeypatch.setattr(simulator.camera, "grab", simulator.camera.grab)  # as it is, afterwards
    return simulator


def best(rig: Any) -> tuple[int, int, int]:
    """The action that the truth suggests."""
    number = int(np.abs(np.log(EXPOSURES / rig.best_exposure_us()[0])).argmin())
    hundredths = round(100 * rig.best_lens()[0])
    return number, hundredths // 100 - 24, hundredths % 100


def run(rig: Any, *actions: Any, config: CameraControlConfig = BOTH, **options: Any):
    """One cell, from the same start."""
    then = options.pop("then", None)
    (result,) = control_camera(
        rig, CameraScript(config, *actions, then=then), start=START_V, **options
    )
    return result


def is_put_back(result: CameraResult, rig: Any) -> bool:
    at = float(rig.exposure.position[0]), float(rig.focus.position[0])
    assert at == (result.exposure_us, result.lens), "it says where it is"
    return result.returned and at == (START_US, START_V)


# -- verdicts, for real ------------------------------------------------------------------------


def test_a_sharp_end_is_left_alone(rig: LiquidLensCamera) -> None:
    action = best(rig)
    config = replace(BOTH, sharp_px=5.0)
    result = run(rig, action, action, config=config)
    assert result.verdict is CameraVerdict.SHARP
    assert not result.returned
    assert result.reason == "the object was detected and is sharp"
    assert (result.steps, result.exposures, len(result.looks)) == (2, 3, 3)
    assert result.exposure_us == pytest.approx(EXPOSURES[action[0]])
    assert result.lens == pytest.approx(rig.best_lens()[0], abs=0.005)
    assert result.unit == "V"
    assert result.detected
    assert min(result.box[2:]) > 20
    assert [look.lens for look in result.looks] == pytest.approx([30.0, 30.0, result.lens])
    assert result.looks[0].exposure_us == START_US
    assert result.seconds > 0


def test_what_is_in_focus_is_sharp_by_the_default_settings(rig: LiquidLensCamera) -> None:
    """Blur is measured here, as on a rig: what is in focus must not be called blurred."""
    assert BOTH.sharp_px == CameraControlConfig().sharp_px
    action = best(rig)
    result = run(rig, action, action, action, action, then=RuntimeError("still not sharp"))
    assert abs(rig.defocus_px()[0]) < 0.2 or result.returned
    assert result.verdict is CameraVerdict.SHARP


@pytest.mark.parametrize("control", ["both", "exposure", "focus"])
def test_darkness(rig: LiquidLensCamera, control: str) -> None:
    rig.set_conditions(np.array([0]), illuminance_lx=0.0)
    actions = {"both": (70, 13, 0), "exposure": 70, "focus": (13, 0)}[control]
    result = run(rig, *[actions] * 4, config=CONFIGS[control])
    assert result.verdict is CameraVerdict.TOO_DARK
    assert is_put_back(result, rig)
    assert result.looks[-1].exposure_us == pytest.approx(4.5e6), "only now it is certain"
    assert len(result.looks) == result.exposures == 6
    assert result.steps == 4


@pytest.mark.parametrize("control", ["both", "exposure", "focus"])
def test_saturation(rig: LiquidLensCamera, control: str) -> None:
    rig.set_conditions(np.array([0]), illuminance_lx=1e6)
    actions = {"both": (70, 13, 0), "exposure": 70, "focus": (13, 0)}[control]
    result = run(rig, *[actions] * 4, config=CONFIGS[control])
    assert result.verdict is CameraVerdict.SATURATED
    assert is_put_back(result, rig)
    assert result.looks[-1].exposure_us == pytest.approx(1e3), "only now it is certain"
    assert len(result.looks) == result.exposures == 6


def test_the_ends_are_not_tried_twice(rig: LiquidLensCamera) -> None:
    rig.set_conditions(np.array([0]), illuminance_lx=0.0)
    result = run(rig, 145, 70, 70, 70, config=EXPOSE)
    assert result.verdict is CameraVerdict.TOO_DARK
    assert len(result.looks) == result.exposures == 5


def test_no_object(rig: LiquidLensCamera) -> None:
    rig.set_conditions(np.array([0]), scene=PRINT)
    number, *lens = best(rig)
    result = run(rig, *[(number - 5, *lens)] * 4)  # the best in focus may be too much elsewhere
    assert result.verdict is CameraVerdict.NO_OBJECT
    assert is_put_back(result, rig)
    assert result.box == (0, 0, 0, 0)
    assert len(result.looks) == result.exposures == 5, "a well exposed picture needs no other"


def test_an_object_that_stays_blurred(rig: LiquidLensCamera) -> None:
    number, coarse, fine = best(rig)
    volts = 24 + coarse + fine / 100 + 0.35
    off = number, int(volts) - 24, round(100 * (volts % 1))
    result = run(rig, (number, 0, 0), off, off, off)
    assert any(look.detected for look in result.looks)
    assert result.verdict is CameraVerdict.BLURRED
    assert is_put_back(result, rig)


def test_an_exposure_that_was_never_usable_is_timed_out(rig: LiquidLensCamera) -> None:
    result = run(rig, *[0] * 4, config=EXPOSE)
    assert result.verdict is CameraVerdict.TIMED_OUT
    assert is_put_back(result, rig)


@pytest.mark.parametrize("light", [13.0, 100.0, 300.0])
def test_automatic_exposure_ends_well_exposed(rig: LiquidLensCamera, light: float) -> None:
    rig.set_conditions(np.array([0]), illuminance_lx=light)
    (result,) = control_camera(rig, AutoExposure(CameraControlTask(EXPOSE).spec), start=START_V)
    assert result.verdict is CameraVerdict.EXPOSED
    assert 50 <= result.looks[-1].level <= 150
    assert result.lens == START_V
    assert result.verdict in GOOD_ENDS


# -- faults ------------------------------------------------------------------------------------


def failing(rig: Any, look: int, error: BaseException) -> None:
    """Once, with this look, counted from 1, the camera raises."""
    grab: Callable[..., Any] = rig.camera.grab
    calls: list[int] = []

    def grabbing(cells: Any) -> Any:
        calls.append(1)
        if len(calls) == look:
            raise error
        return grab(cells)

    rig.camera.grab = grabbing


@pytest.mark.parametrize("look", [2, 3, 4])
@pytest.mark.parametrize(
    ("error", "verdict", "said"),
    [
        (KeyboardInterrupt(), "aborted", "stopped from outside"),
        (TimeoutError("no picture within 1000 ms"), "error", "no picture within 1000 ms"),
        (RigError("camera unplugged"), "error", "camera unplugged"),
        (InputError("that exposure is refused"), "error", "that exposure is refused"),
    ],
)
def test_a_picture_that_fails_puts_all_back(
    rig: LiquidLensCamera, look: int, error: BaseException, verdict: str, said: str
) -> None:
    failing(rig, look, error)
    number, *_ = best(rig)
    result = run(rig, (number, 3, 0), (number, 5, 0), (number, 7, 0), (number, 9, 0))
    assert result.verdict == verdict
    assert said in result.reason
    assert is_put_back(result, rig)
    assert len(result.looks) == result.exposures == look - 1


def test_stopped_in_the_first_look_is_aborted(rig: LiquidLensCamera) -> None:
    failing(rig, 1, KeyboardInterrupt())
    result = run(rig, (70, 3, 0))
    assert result.verdict is CameraVerdict.ABORTED
    assert result.looks == ()


def test_a_first_picture_that_fails_is_an_error(rig: LiquidLensCamera) -> None:
    failing(rig, 1, TimeoutError("no picture within 1000 ms"))
    result = run(rig, (70, 3, 0))
    assert result.verdict is CameraVerdict.ERROR
    assert "no picture within 1000 ms" in result.reason
    assert (result.looks, result.exposures, result.steps) == ((), 0, 0)


@pytest.mark.parametrize(
    ("error", "verdict"), [(KeyboardInterrupt(), "aborted"), (TimeoutError("late"), "error")]
)
def test_a_failure_in_the_last_try_puts_all_back_too(
    rig: LiquidLensCamera, error: BaseException, verdict: str
) -> None:
    """The longest exposure is set by then, of a camera that may be somebody's."""
    rig.set_conditions(np.array([0]), illuminance_lx=0.0)
    failing(rig, 6, error)
    result = run(rig, *[70] * 4, config=EXPOSE)
    assert result.verdict == verdict
    assert rig.exposure.position[0] == START_US
    assert is_put_back(result, rig)
    assert len(result.looks) == 5


@pytest.mark.parametrize(
    ("error", "verdict"), [(RuntimeError("no idea"), "error"), (KeyboardInterrupt(), "aborted")]
)
def test_a_policy_that_raises_puts_all_back(error: BaseException, verdict: str) -> None:
    rig = ShownCamera(level=40)
    result = run(rig, (100, 3, 0), (120, 3, 0), then=error)
    assert result.verdict == verdict
    assert is_put_back(result, rig)
    assert result.exposures == 3


@pytest.mark.parametrize("action", [(146, 0, 0), (-1, 0, 0), (0.5, 0, 0), (70, 47, 0)])
def test_actions_that_the_policy_does_not_have_are_an_error(action: tuple[float, ...]) -> None:
    rig = ShownCamera(level=100)
    result = run(rig, (70, 3, 0), action, (70, 4, 0), (70, 5, 0))
    assert result.verdict is CameraVerdict.ERROR
    assert is_put_back(result, rig)


def test_a_lens_that_refuses_the_way_back_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = ShownCamera(level=100)
    move_to = rig.focus.move_to
    calls: list[int] = []

    def refusing(target: Any, cells: Any) -> Any:
        calls.append(1)
        if len(calls) > 4:  # the start, and three of the policy's
            raise OSError("lens disconnected")
        return move_to(target, cells)

    monkeypatch.setattr(rig.focus, "move_to", refusing)
    result = run(rig, *[(70, 3, 0)] * 4)
    assert result.verdict is CameraVerdict.ERROR
    assert "lens disconnected" in result.reason
    assert not result.returned
    assert rig.exposure.position[0] == START_US, "what can be put back is"


def test_one_rig_of_several_that_failed() -> None:
    rig = FailingCamera(2)
    grab = rig.grab

    def grabbing(cells: Any) -> Any:
        if rig.pictures.sum() >= 2:
            rig.failures[0] = RuntimeError("unplugged")
        return grab(cells)

    rig.grab = grabbing  # type: ignore[method-assign]
    failed, good = control_camera(rig, CameraScript(EXPOSE, 70), start=START_V)
    assert (failed.verdict, good.verdict) == ("error", "exposed")


@pytest.mark.parametrize("error", [TimeoutError("no picture"), KeyboardInterrupt()])
def test_one_cells_failure_does_not_spoil_another_that_had_ended(error: BaseException) -> None:
    rig = ShownCamera(2, level=40)
    rig.level[0] = 100
    failing(rig, 3, error)
    first, second = control_camera(rig, CameraScript(EXPOSE, 70, 80, 90), start=START_V)
    assert first.verdict is CameraVerdict.EXPOSED
    assert first.exposure_us == pytest.approx(EXPOSURES[70])
    assert not first.returned
    assert second.verdict == ("aborted" if isinstance(error, KeyboardInterrupt) else "error")
    assert second.exposure_us == START_US


class Door(ShownCamera):
    """A rig whose coming or going fails."""

    def __init__(self, at: str, error: BaseException) -> None:
        super().__init__()
        self._at, self._error = at, error

    def __enter__(self) -> Any:
        if self._at == "enter":
            raise self._error
        return self

    def __exit__(self, *what: Any) -> None:
        if self._at == "exit":
            raise self._error


@pytest.mark.parametrize("at", ["enter", "exit"])
@pytest.mark.parametrize(
    ("error", "verdict"), [(RigError("door stuck"), "error"), (KeyboardInterrupt(), "aborted")]
)
def test_a_rig_that_fails_as_it_comes_or_goes(at: str, error: BaseException, verdict: str) -> None:
    result = run(Door(at, error), 70, config=EXPOSE)
    assert result.verdict == verdict
    assert str(error) in result.reason
    assert len(result.looks) == (0 if at == "enter" else 2)


# -- bookkeeping -------------------------------------------------------------------------------


def test_every_picture_is_a_look_and_is_counted() -> None:
    rig = ShownCamera(level=40)
    result = run(rig, *[(70, 3, 0)] * 4)
    assert result.verdict is CameraVerdict.TIMED_OUT or result.verdict is CameraVerdict.NO_OBJECT
    assert len(result.looks) == result.exposures == rig.pictures[0] == 5


def test_several_cells_at_once_equal_one_after_the_other() -> None:
    levels = [3, 40, 100, 255]
    together = ShownCamera(4)
    together.level[:] = levels
    found = control_camera(together, CameraScript(BOTH, *[(70, 9, 9)] * 4), start=START_V)
    for level, result in zip(levels, found, strict=True):
        alone = run(ShownCamera(level=level), *[(70, 9, 9)] * 4)
        assert replace(alone, seconds=0) == replace(result, seconds=0)


def test_the_truth_is_never_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(self: Any) -> Any:
        raise AssertionError("a policy must do without")

    for name in ("defocus_px", "best_lens", "best_exposure_us", "illuminance_lx"):
        monkeypatch.setattr(KnowingCamera, name, asked)
    assert run(KnowingCamera(), 70, config=EXPOSE).verdict is CameraVerdict.EXPOSED


def test_wrong_input_is_refused_not_judged() -> None:
    with pytest.raises(InputError, match="camera_control version 1, got one for autofocus version"):
        control_camera(ShownCamera(), Steps(2))
    newer = CameraScript(EXPOSE, 70)
    newer.spec = replace(newer.spec, version=2)
    with pytest.raises(InputError, match="version 1, got one for camera_control version 2"):
        control_camera(ShownCamera(), newer)
    unknown = CameraScript(EXPOSE, 70)
    unknown.spec = PolicySpec("camera_control", 1, ("levels",), {"exposure": 3})
    with pytest.raises(InputError, match="policy: unknown key 'exposure'; did you mean"):
        control_camera(ShownCamera(), unknown)
    with pytest.raises(InputError, match="seed: expected 0 or more, got -1"):
        run(ShownCamera(), 70, config=EXPOSE, seed=-1)
    for thing in (blur_stack().instrument(), None, object()):
        with pytest.raises(InputError, match=f"needs an instrument .* got {type(thing).__name__}"):
            control_camera(thing, CameraScript(EXPOSE, 70))


def test_a_start_outside_the_range_is_refused(rig: LiquidLensCamera) -> None:
    with pytest.raises(InputError, match="start: expected positions from 24 to 70 V"):
        control_camera(rig, CameraScript(EXPOSE, 70), start=90.0)
