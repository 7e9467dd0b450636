"""Software autofocus inside real acquisitions of pymmcore-plus."""

from __future__ import annotations

import _thread
from pathlib import Path

import numpy as np
import pytest
from zoos import zoo_with_focus, zoo_without_focus

import visuomotor as vm
from visuomotor.errors import InputError
from visuomotor.integrations.focus_map import FocusMap

pytest.importorskip("pymmcore_plus", reason="visuomotor[micromanager] is not installed")
pytest.importorskip("mm_test_adapters", reason="mm-test-adapters is not installed")

import useq

from visuomotor.benchmarks._emulated import EmulatedMicroscope
from visuomotor.instruments.rig_config import rig_from_plain
from visuomotor.integrations.micromanager_mda import (
    ACTION,
    METADATA,
    AutofocusEngine,
    measure_focus_map,
)

PLACES = [(x, y) for y in (0.0, 600.0, 1200.0) for x in (0.0, 600.0, 1200.0)]
CHANNELS = ("DAPI", "FITC")


@pytest.fixture(autouse=True)
def notes_of_this_test(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


@pytest.fixture
def microscope():
    made = EmulatedMicroscope(tilt=(0.004, -0.003))
    yield made
    made.close()


def engine(microscope, policy: str = "search:brent", **options) -> AutofocusEngine:
    made = AutofocusEngine(microscope.core, microscope.rig(), vm.load_policy(policy), **options)
    microscope.core.mda.set_engine(made)
    return made


def acquire(microscope, sequence, per_frame_um: float = 0.0):
    """[(event, metadata, z of the stage, z of true focus then)] of every frame."""
    frames = []

    def note(image, event, meta) -> None:
        x, y = event.x_pos or 0.0, event.y_pos or 0.0
        frames.append((event, meta, microscope.stage.at, microscope.focus_at(x, y)))
        microscope.drift_um += per_frame_um

    microscope.core.mda.events.frameReady.connect(note)
    try:
        microscope.core.run_mda(sequence).join()
    finally:
        microscope.core.mda.events.frameReady.disconnect(note)
    return frames


def sequence(axes=("t", "p"), times: int = 3, stack: bool = True, **options) -> useq.MDASequence:
    return useq.MDASequence(
        axis_order="tpcz",
        stage_positions=[useq.Position(x=x, y=y, z=0.0) for x, y in PLACES],
        time_plan={"interval": 0, "loops": times},
        channels=[useq.Channel(group="Channel", config=name) for name in CHANNELS],
        z_plan={"range": 4, "step": 2} if stack else None,
        autofocus_plan=useq.AxesBasedAF(axes=axes) if axes else None,
        **options,
    )


def test_without_a_policy_the_engine_takes_the_default(
    microscope, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with monkeypatch.context() as patch:
        zoo_with_focus(patch, tmp_path / "with")
        made = AutofocusEngine(microscope.core, microscope.rig())
        assert made.policy.spec == vm.load_policy("focus@1").spec
        chosen = vm.load_policy("search:hill-climb")
        assert AutofocusEngine(microscope.core, microscope.rig(), chosen).policy is chosen
    zoo_without_focus(monkeypatch, tmp_path / "without")
    made = AutofocusEngine(microscope.core, microscope.rig())
    assert made.policy.spec == vm.load_policy("search:brent").spec
    microscope.core.mda.set_engine(made)
    acquire(microscope, sequence(times=1, stack=False), 0.0)
    assert {result.verdict for _, result in made.results} == {vm.Verdict.FOCUSED}


def test_every_stack_of_a_drifting_time_lapse_is_centred(microscope) -> None:
    made = engine(microscope, window=20.0)
    frames = acquire(microscope, sequence(), per_frame_um=0.01)
    assert len(frames) == 9 * 3 * 2 * 3
    assert len(made.results) == 9 * 3
    for event, meta, stage, focus in frames:
        if event.index["z"] == 1:  # the middle of three
            assert abs(stage - focus) <= 1.0, dict(event.index)
        told = meta["extra"][METADATA]
        assert told["verdict"] == "focused"
        assert told["focused_at"]["p"] == event.index["p"]
        assert told["focused_at"]["t"] == event.index["t"]
        assert told["exposures"] == len(told["curve"])
    assert microscope.drift_um > 1.5, "without focusing again it would have been lost"


def shifted(microscope, **tables):
    """The microscope's rig file with other tables in it."""
    config = microscope.rig()
    values = {
        "name": config.name,
        "camera": {"driver": "micromanager", "device": config.camera.device},
        "focus": {
            "driver": "micromanager",
            "device": config.focus.device,
            "towards_sample": "up",
            "soft_limits": [-60.0, 60.0],
            "never_pass": 70.0,
            "fine_step": 0.5,
        },
        "micromanager": {"config": "unused.cfg"},
        **tables,
    }
    return rig_from_plain(values, "shifted", Path())


@pytest.mark.parametrize("order", [CHANNELS, CHANNELS[::-1]])
@pytest.mark.parametrize("channel", [None, ("Channel", "DAPI")])
def test_offsets_of_channels_are_added(microscope, order, channel) -> None:
    rig = shifted(microscope, channels={"FITC": 2.5})
    policy = vm.load_policy("search:brent")
    made = AutofocusEngine(microscope.core, rig, policy, channel=channel)
    microscope.core.mda.set_engine(made)
    plan = sequence(times=1, stack=False).replace(channels=list(order))
    frames = acquire(microscope, plan)
    assert len(frames) == 9 * 2
    # Focusing in the first channel finds that channel's focus: the emulated one has no offset.
    seen_in = 2.5 if channel is None and order[0] == "FITC" else 0.0
    for event, _, stage, focus in frames:
        offset = 2.5 if event.channel.config == "FITC" else 0.0
        assert abs(stage - offset + seen_in - focus) <= 1.0, dict(event.index)


def test_offsets_of_the_plan_are_kept(microscope) -> None:
    engine(microscope, channel=("Channel", "DAPI"))
    channels = [{"config": "FITC", "z_offset": 3.0}, {"config": "DAPI"}]
    frames = acquire(microscope, sequence(times=1).replace(channels=channels))
    for event, _, stage, focus in frames:
        if event.index["z"] == 1:
            offset = 3.0 if event.channel.config == "FITC" else 0.0
            assert abs(stage - offset - focus) <= 1.0, dict(event.index)


def test_a_failed_focus_stops_nothing_and_is_told(microscope) -> None:
    made = engine(microscope)
    plan = sequence(times=2, stack=False)
    snap = microscope.camera._views.frames_at
    blank = np.full((1, 128, 128), 90, np.uint8)

    class Lost:
        """At one place there is nothing to see."""

        def frames_at(self, positions):
            x, y = microscope.core.getXYPosition()
            return blank if (round(x), round(y)) == (600, 600) else snap(positions)

    microscope.camera._views = Lost()
    frames = acquire(microscope, plan)
    assert len(frames) == 9 * 2 * 2
    failed = {tuple(i.items()) for i, r in made.results if r.verdict != "focused"}
    assert failed == {(("t", t), ("p", 4), ("c", 0)) for t in (0, 1)}
    for event, meta, stage, focus in frames:
        told = meta["extra"][METADATA]
        if event.index["p"] == 4:
            assert told["verdict"] in ("no_sample", "unsure")
            assert told["reason"]
        else:
            assert told["verdict"] == "focused"
        assert abs(stage - focus) <= 1.0 or event.index["p"] == 4
        assert abs(stage - focus) < 5.0, "a place that failed is near its neighbours' focus"


def test_a_custom_action_asks_too(microscope) -> None:
    made = engine(microscope)
    microscope.drift_um = 7.0
    events = [
        useq.MDAEvent(
            index={"p": 0}, x_pos=0, y_pos=0, z_pos=0, action=useq.CustomAction(name=ACTION)
        ),
        useq.MDAEvent(index={"p": 0}, x_pos=0, y_pos=0, z_pos=0),
        useq.MDAEvent(index={"p": 0}, action=useq.CustomAction(name="something else")),
    ]
    frames = acquire(microscope, events)
    assert len(made.results) == 1
    ((_, _, stage, focus),) = frames
    assert abs(stage - focus) <= 1.0


def test_corrections_are_carried_to_places_not_focused_yet(microscope) -> None:
    microscope.tilt = (0.0, 0.0)
    microscope.drift_um = 9.0
    engine(microscope, window=12.0)
    event = useq.MDAEvent(
        index={"p": 0}, x_pos=0, y_pos=0, z_pos=0, action=useq.CustomAction(name=ACTION)
    )
    other = useq.MDAEvent(index={"p": 1}, x_pos=600, y_pos=0, z_pos=0)
    ((_, _, stage, focus),) = acquire(microscope, [event, other])
    assert abs(stage - focus) <= 1.0


def test_a_window_that_is_too_narrow_tells_the_direction_and_grows_on_request(microscope) -> None:
    microscope.tilt = (0.0, 0.0)
    microscope.drift_um = -9.0
    events = [
        useq.MDAEvent(index={"p": 0}, z_pos=0, action=useq.CustomAction(name=ACTION)),
        useq.MDAEvent(index={"p": 0}, z_pos=0),
    ]
    engine(microscope, "search:hill-climb", window=4.0)
    ((_, meta, stage, _),) = acquire(microscope, events)
    told = meta["extra"][METADATA]
    assert (told["verdict"], told["direction"], stage) == ("at_limit", -1, 0.0)
    made = engine(microscope, "search:hill-climb", window=4.0, grow=2)
    ((_, meta, stage, focus),) = acquire(microscope, events)
    told = meta["extra"][METADATA]
    assert (told["verdict"], told["direction"]) == ("focused", 0)
    assert "the range grew once, to -12 to 4 um" in told["reason"]
    assert abs(stage - focus) <= 1.0
    assert told["exposures"] == len(told["curve"]) == made.results[0][1].exposures
    with pytest.raises(InputError, match="grow: expected 0 or more"):
        engine(microscope, grow=-1)


def test_a_focus_map_carries_focus_over_the_slide(microscope) -> None:
    made = engine(microscope)
    microscope.drift_um = 4.0
    made.focus_map = measure_focus_map(made, [(0, 0), (1200, 0), (0, 1200), (1200, 1200)])
    assert made.focus_map.plane[:2] == pytest.approx(microscope.tilt, abs=1e-3)
    frames = acquire(microscope, sequence(axes=None, times=1))
    for event, _, stage, focus in frames:
        if event.index["z"] == 1:
            assert abs(stage - focus) <= 1.0, dict(event.index)


RELATIVE, ABSOLUTE = {"range": 4, "step": 2}, {"absolute": [-2.0, 0.0, 2.0]}


@pytest.mark.parametrize("own", [False, True], ids=["of the plan", "of each position"])
@pytest.mark.parametrize(
    ("stack", "mapped"),
    [(RELATIVE, False), (RELATIVE, True), (ABSOLUTE, True)],  # useq focuses no absolute ones
    ids=["focused", "mapped", "absolute and mapped"],
)
def test_every_kind_of_stack_is_centred(microscope, stack, own, mapped) -> None:
    microscope.drift_um = 4.0
    made = engine(microscope, window=20.0)
    if mapped:
        made.focus_map = measure_focus_map(made, [(0, 0), (1200, 0), (0, 1200), (1200, 1200)])
    places = [{"x": x, "y": y, "z": 0.0} for x, y in PLACES]
    if own:
        places = [{**place, "sequence": {"z_plan": stack}} for place in places]
    plan = useq.MDASequence(
        stage_positions=places,
        z_plan=None if own else stack,
        autofocus_plan=None if mapped else {"axes": ("p",)},
    )
    frames = acquire(microscope, plan)
    assert len(frames) == 9 * 3
    for event, _, at, focus in frames:
        plane = (-2.0, 0.0, 2.0)[event.index["z"]]
        assert abs(at - plane - focus) <= 1.0, dict(event.index)


def test_a_map_is_asked_where_the_stage_stands(microscope) -> None:
    made = engine(microscope)
    made.focus_map = FocusMap.through([(0, 0, 0), (100, 0, 0), (0, 100, 1.0)])
    microscope.core.setXYPosition(0, 1000)
    made.mmcore.waitForSystem()
    assert made.correction(useq.MDAEvent(x_pos=500, z_pos=0)) == pytest.approx(10.0, abs=0.1)


def test_the_safe_state_is_not_for_acquisitions(microscope) -> None:
    rig = shifted(microscope, safe={"position": -20.0, "shutter": "closed"})
    made = AutofocusEngine(microscope.core, rig, vm.load_policy("search:brent"), window=10.0)
    microscope.core.mda.set_engine(made)
    microscope.core.setAutoShutter(False)
    microscope.core.setShutterOpen(True)
    frames = acquire(microscope, sequence(times=1, stack=False))
    assert len(frames) == 9 * 2
    assert all(abs(at - focus) <= 1.0 for _, _, at, focus in frames)
    assert microscope.core.getShutterOpen()
    microscope.core.setAutoShutter(True)


@pytest.mark.parametrize("fault", ["policy", "stage", "channel", "asked"])
def test_whatever_fails_about_a_focus_stops_nothing(microscope, fault, monkeypatch) -> None:
    made = engine(microscope)
    plan = sequence(times=1, stack=False)
    if fault == "policy":
        made.policy = object()
    if fault == "stage":
        go, asked = microscope.stage.set_position_um, made.focus_now

        def refuse(target: float) -> None:
            raise OSError("command rejected")

        def without_stage(*values):
            monkeypatch.setattr(microscope.stage, "set_position_um", refuse)
            result = asked(*values)
            monkeypatch.setattr(microscope.stage, "set_position_um", go)
            return result

        monkeypatch.setattr(made, "focus_now", without_stage)
    if fault == "channel":
        made.channel = ("Channel", "Gone")
    if fault == "asked":
        action = useq.CustomAction(name=ACTION, data={"window": "wide"})
        plan = [useq.MDAEvent(z_pos=0, action=action), useq.MDAEvent(z_pos=0)]
    frames = acquire(microscope, plan)
    assert len(frames) == (1 if fault == "asked" else 9 * 2)
    assert made.results
    for _, result in made.results:
        assert result.verdict == "error"
    told = frames[0][1]["extra"][METADATA]
    assert told["verdict"] == "error"
    assert told["reason"]


def test_a_window_lies_around_the_channel_that_is_focused_in(microscope) -> None:
    rig = shifted(microscope, channels={"FITC": 3.0})
    made = AutofocusEngine(
        microscope.core,
        rig,
        vm.load_policy("search:brent"),
        window=2.0,
        channel=("Channel", "DAPI"),
    )
    microscope.core.mda.set_engine(made)
    plan = useq.MDASequence(
        stage_positions=[(0, 0, 0)],
        channels=[useq.Channel(group="Channel", config=name) for name in ("FITC", "DAPI")],
        autofocus_plan=useq.AxesBasedAF(axes=("t", "p")),
        time_plan={"interval": 0, "loops": 2},
    )
    acquire(microscope, plan)
    assert [str(result.verdict) for _, result in made.results] == ["focused"] * 2
    assert all(result.start == pytest.approx(0.0, abs=1.0) for _, result in made.results)


@pytest.mark.parametrize("grid", [True, False])
def test_a_stage_that_misses_is_told_and_loses_no_frame(microscope, monkeypatch, grid) -> None:
    go, moves = microscope.stage.set_position_um, []

    def coarse(target: float) -> None:
        moves.append(target)
        off = 0.8 if len(moves) == 40 else 0.0
        go(round(target / 1.3) * 1.3 if grid else target + off)

    monkeypatch.setattr(microscope.stage, "set_position_um", coarse)
    engine(microscope, window=10.0)
    frames = acquire(microscope, sequence(times=1))
    assert len(frames) == 9 * 2 * 3
    if grid:
        assert any(meta["extra"][METADATA]["missed"] for _, meta, _, _ in frames)


def test_ctrl_c_ends_a_focus_map_and_the_lock_is_given_back(microscope, monkeypatch) -> None:
    core, locked = microscope.core, [True]
    monkeypatch.setattr(core, "isContinuousFocusEnabled", lambda: locked[-1])
    monkeypatch.setattr(core, "enableContinuousFocus", locked.append)
    made = engine(microscope, window=10.0)
    pictures = []

    def exposing() -> None:
        pictures.append(1)
        if len(pictures) == 3:
            _thread.interrupt_main()

    microscope.camera.exposing = exposing
    with pytest.raises(KeyboardInterrupt):
        measure_focus_map(made, [(0, 0), (100, 0), (0, 100), (100, 100)])
    assert locked == [True, False, True]
    assert tuple(core.getXYPosition()) == (0.0, 0.0)
    measure_focus_map(made, [(0, 0), (100, 0), (0, 100)])
    assert locked[-1]
    made.focus_now(useq.MDAEvent(z_pos=0))
    assert locked[-1]


def test_ctrl_c_during_a_focus_ends_the_acquisition(microscope) -> None:
    made = engine(microscope)

    class Interrupted:
        spec = made.policy.spec

        def __getattr__(self, name):
            raise KeyboardInterrupt

    made.policy = Interrupted()
    taken = []
    microscope.core.mda.events.frameReady.connect(lambda *_: taken.append(1))
    microscope.core.mda.run(sequence(times=2))
    assert [result.verdict for _, result in made.results] == ["aborted"]
    assert not taken


def test_a_channel_that_no_preset_describes_is_put_back(microscope) -> None:
    core = microscope.core
    core.setConfig("Channel", "FITC")
    core.setProperty("Emission", "Label", "Chroma-HQ700")
    before = [tuple(setting) for setting in core.getConfigGroupState("Channel")]
    made = engine(microscope, channel=("Channel", "DAPI"))
    made.focus_now(useq.MDAEvent(z_pos=0))
    assert [tuple(setting) for setting in core.getConfigGroupState("Channel")] == before


def test_what_a_hardware_autofocus_found_is_added(microscope, monkeypatch) -> None:
    made = engine(microscope, hardware="leave")
    monkeypatch.setattr(made, "_execute_autofocus", lambda action: 5.0)
    frames = acquire(microscope, sequence(times=1, stack=False))
    assert [at for _, _, at, _ in frames] == [5.0] * len(frames)


def test_a_lock_is_opened_for_a_focus_and_closed_at_the_end(microscope, monkeypatch) -> None:
    said = []
    monkeypatch.setattr(microscope.core, "isContinuousFocusEnabled", lambda: not said)
    monkeypatch.setattr(microscope.core, "enableContinuousFocus", said.append)
    made = engine(microscope, hardware="ignore")
    acquire(microscope, sequence(times=1, stack=False))
    assert said == [False, True]
    assert all(result.verdict == "focused" for _, result in made.results)


def test_planes_outside_the_limits_are_refused_before_anything_moves(microscope) -> None:
    made = engine(microscope)
    plan = useq.MDASequence(stage_positions=[(0, 0, 59)], z_plan={"range": 8, "step": 4})
    with pytest.raises(InputError, match="within the rig's limits, -60 to 60 um, got 63"):
        made.setup_sequence(plan)


def test_a_correction_beyond_the_limits_is_told(microscope) -> None:
    made = engine(microscope)
    made._focused = {}
    made.focus_map = FocusMap.through([(0, 0, 70), (100, 0, 70), (0, 100, 70)])
    ((_, meta, at, _),) = acquire(microscope, [useq.MDAEvent(x_pos=0, y_pos=0, z_pos=0)])
    assert at == 60.0
    assert meta["extra"][METADATA]["clipped"] == pytest.approx(10.0)


def test_the_same_plan_is_focused_again(microscope) -> None:
    made = engine(microscope)
    plan = useq.MDASequence(stage_positions=[(0, 0, 0)], autofocus_plan={"axes": ("p",)})
    for _ in range(2):
        acquire(microscope, plan)
        assert len(made.results) == 1


def test_a_hardware_autofocus_is_left_alone_where_it_is_told_to(microscope) -> None:
    made = engine(microscope, hardware="leave")
    acquire(microscope, sequence(times=1, stack=False))
    assert made.results == []
    made.hardware = "ignore"
    acquire(microscope, sequence(times=1, stack=False))
    assert len(made.results) == 9


def test_settings_that_cannot_be(microscope, monkeypatch) -> None:
    policy = vm.load_policy("search:brent")
    core, rig = microscope.core, microscope.rig()
    with pytest.raises(InputError, match="window: expected a distance of at least a fine step"):
        AutofocusEngine(core, rig, policy, window=-1.0)
    with pytest.raises(InputError, match="did you mean 'if_locked'"):
        AutofocusEngine(core, rig, policy, hardware="locked")
    with pytest.raises(
        InputError, match="channel: 'DAPY' is not in 'Channel'; did you mean 'DAPI'"
    ):
        AutofocusEngine(core, rig, policy, channel=("Channel", "DAPY"))
    with pytest.raises(InputError, match="group 'Canal' is not known; did you mean 'Channel'"):
        AutofocusEngine(core, rig, policy, channel=("Canal", "DAPI"))
    monkeypatch.setattr(core, "getFocusDevice", lambda: "Z")
    with pytest.raises(InputError, match="expected the core's focus device, 'Z'"):
        AutofocusEngine(core, rig, policy)
    other = rig_from_plain(
        {
            "name": "other",
            "camera": {"driver": "microscope"},
            "focus": {
                "driver": "microscope",
                "towards_sample": "up",
                "soft_limits": [-5.0, 5.0],
                "never_pass": 6.0,
                "fine_step": 0.5,
            },
        },
        "other",
        Path(),
    )
    with pytest.raises(InputError, match="expected a rig of driver 'micromanager'"):
        AutofocusEngine(microscope.core, other, policy)


class TestFocusMap:
    def test_a_plane_comes_back(self) -> None:
        points = [(x, y, 0.01 * x - 0.02 * y + 5) for x, y in PLACES]
        found = FocusMap.through(points)
        assert found.plane == pytest.approx((0.01, -0.02, 5.0))
        assert found.z_at(300, 100) == pytest.approx(0.01 * 300 - 0.02 * 100 + 5)
        assert np.abs(found.residuals).max() < 1e-9

    @pytest.mark.parametrize(
        "points",
        [
            [(0, 0, 0), (1, 1, 1)],
            [(0, 0, 0), (1, 1, 1), (2, 2, 5)],
            [(0, 0, 0), (0, 0, 1), (0, 0, 5)],
            [(0, 0, 0), (1, 0, 1), (0, 1, float("nan"))],
        ],
    )
    def test_points_that_tell_no_plane(self, points) -> None:
        with pytest.raises(InputError, match="focus map"):
            FocusMap.through(points)
