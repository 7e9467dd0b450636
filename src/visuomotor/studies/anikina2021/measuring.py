"""What is measured: cameras with scenes that no agent was trained on, and who sets them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from visuomotor.agents.base import Policy
from visuomotor.configs import check_range
from visuomotor.env import VisuomotorEnv
from visuomotor.instruments.simulated.liquid_lens_camera import EXPOSURES_US, LiquidLensCamera
from visuomotor.instruments.simulated.lit_camera import LiquidLensCameraConfig
from visuomotor.instruments.simulated.lit_scenes import scene_pool
from visuomotor.models.detectors import detector
from visuomotor.studies.anikina2021.episodes import CameraEpisode, camera_episodes
from visuomotor.tasks import camera_control
from visuomotor.tasks.camera_control import CameraControlTask
from visuomotor.vision.exposure import is_usable
from visuomotor.zoo import load_policy

NAME = "anikina2021"
EXPOSURE, FOCUS, BOTH = "dasha-exposure", "dasha-focus", "dasha"
PAPER_FOCUS = "dasha-focus-paper"
SHARP_PX = 1.5


@dataclass(frozen=True)
class TimeModel:
    """What a step costs. Table I of the paper: 10 s for 2 steps, 58 s for 12.5, and 366 s for one
    picture at every lens position."""

    step_s: float = 5.0
    """Of an agent: a move, a picture, detection, features."""
    sweep_s: float = 5.0
    """Of one lens position of a sweep: a move, a picture, a focus measure."""


@dataclass(frozen=True)
class StudyConfig:
    """What is measured, and on what. A file of these keys may be given to the command."""

    study: str = NAME
    seed: int = 2026
    """Of the test: scenes, light, distances, starts, noise."""
    episodes: int = 1000
    cells: int = 50
    """Episodes at once."""
    scenes: int = 200
    """Of the split "test": other markers, other photographs."""
    kinds: tuple[str, ...] = ("aruco",)
    camera: LiquidLensCameraConfig = field(default_factory=LiquidLensCameraConfig)
    time: TimeModel = field(default_factory=TimeModel)
    sweep_step_v: float = 0.14
    """Of a full sweep: as wide as it may be for one position to be within 1.5 px of focus."""
    coarse_step_v: float = 1.4
    """Of the first stage of a two-stage sweep."""
    grid_data: str = "../shared/data/cc0_camera_focus_x_exposure_10x5"
    """The recorded grid of focus and exposure; without it, that part is left out, with a word."""
    figure4_pictures: int = 4000
    """Of which figure 4 shows the features, as the paper's does."""
    grid_relabellings: int = 4
    """Of its axes, for each cell it is begun from."""

    def __post_init__(self) -> None:
        one = (1, 1_000_000)
        check_range(self, seed=(0, 2**31), episodes=one, cells=one, scenes=one)
        check_range(self, figure4_pictures=(3, 1_000_000))
        check_range(self, sweep_step_v=(0.01, 10), coarse_step_v=(0.01, 23), grid_relabellings=one)


class Fixed(NamedTuple):
    """The best that can be done without looking."""

    setting: float
    success: float


def unseen_env(config: StudyConfig, policy: Policy, **camera: Any) -> VisuomotorEnv:
    """The task of a policy before unseen scenes; ``camera`` changes the camera's config."""
    scenes = scene_pool("test", config.scenes, config.seed, config.kinds)
    rig = LiquidLensCamera(
        replace(config.camera, **camera), scenes, min(config.cells, config.episodes), config.seed
    )
    # Nobody is rewarded here, so that the paper's preset does without the model of BRISQUE.
    task: CameraControlTask = camera_control.build({**policy.spec.config, "quality": "truth"})
    return VisuomotorEnv(rig, task)


def episodes_of(config: StudyConfig, policy: Policy | str, **camera: Any) -> list[CameraEpisode]:
    """Episodes of a policy, or of a shipped one by its name, on unseen scenes."""
    chosen = load_policy(policy) if isinstance(policy, str) else policy
    env = unseen_env(config, chosen, **camera)
    return camera_episodes(chosen, env, config.episodes, config.seed)


def best_setting_shows(
    config: StudyConfig, policy: Policy | str, **camera: Any
) -> tuple[list[bool], list[CameraEpisode]]:
    """Episodes of a policy, and whether the object of each is detected at the best exposure and
    lens. ``camera`` changes the camera's config."""
    chosen = load_policy(policy) if isinstance(policy, str) else policy
    env = unseen_env(config, chosen, **camera)
    rig, shown = env.instrument, list[bool]()
    find = detector(chosen.spec.config["detector"])

    def look(used: int) -> None:
        state, cells = rig.state_dict(), np.arange(used)
        rig.exposure.move_to(rig.best_exposure_us()[cells], cells)
        rig.focus.move_to(rig.best_lens()[cells], cells)
        shown.extend(one is not None for one in find(rig.camera.grab(cells)))
        rig.load_state_dict(state)

    rows = camera_episodes(chosen, env, config.episodes, config.seed, look)
    return shown, rows


def best_constant_lens(config: StudyConfig) -> Fixed:
    """The lens value that is sharp for the most distances."""
    lens = config.camera.lens
    distances = np.linspace(*config.camera.distance_cm, 601)
    focused = lens.in_focus_v(distances)
    tried = np.arange(focused.min() - 0.2, focused.max() + 0.2, 0.01)
    sharp = np.abs(lens.defocus_px(tried[:, None], distances)) <= SHARP_PX
    best = int(sharp.mean(1).argmax())
    return Fixed(float(tried[best]), float(sharp[best].mean()))


def best_fixed_exposure(config: StudyConfig, policy: Policy) -> Fixed:
    """The exposure that is good for the most of the episodes' lights, scenes and distances, by the
    noise-free picture in focus."""
    rig = unseen_env(config, policy).instrument
    draws, every = np.random.default_rng(config.seed), np.arange(rig.num_cells)
    good = np.zeros(len(EXPOSURES_US))
    rounds = max(1, 400 // rig.num_cells)
    for _ in range(rounds):
        rig.reset(every, None, draws)
        for number, exposure in enumerate(EXPOSURES_US):
            levels = rig.fullest_level(np.full(rig.num_cells, exposure))
            good[number] += is_usable(levels.astype(np.int64)).mean() / rounds
    best = int(good.argmax())
    return Fixed(float(EXPOSURES_US[best]), float(good[best]))


class Sweeps(NamedTuple):
    """Pictures that sweeps of the lens take."""

    full: int
    two_stage: int


def sweeps(config: StudyConfig) -> Sweeps:
    """One picture at every position, and the way back to the best; and coarse positions, then fine
    ones between the neighbours of the best of them."""
    low, high = config.camera.lens.low_v, config.camera.lens.high_v
    full = 1 + int(np.ceil((high - low) / config.sweep_step_v))
    coarse = 1 + int(np.ceil((high - low) / config.coarse_step_v))
    fine = 1 + int(np.ceil(2 * config.coarse_step_v / config.sweep_step_v))
    return Sweeps(full + 1, coarse + fine + 1)
