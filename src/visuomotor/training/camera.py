"""Training the two agents of camera control on a simulated camera with a liquid lens.

Each learns by itself, as in anikina2021, section IV: exposure over every light, focus over every
distance at exposures that are about right. ``PRESETS`` names what ships and what the paper has.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from visuomotor.agents.base import Policy
from visuomotor.agents.ppo import PpoConfig
from visuomotor.configs import check_range
from visuomotor.env import VisuomotorEnv
from visuomotor.instruments.simulated.liquid_lens_camera import LiquidLensCamera
from visuomotor.instruments.simulated.lit_camera import LiquidLensCameraConfig
from visuomotor.instruments.simulated.lit_scenes import scene_pool
from visuomotor.models.actor_critic import ActorCriticConfig
from visuomotor.runs import Run
from visuomotor.tasks import camera_control
from visuomotor.tasks.camera_control import CameraControlConfig, CameraControlTask
from visuomotor.training.on_policy import OnPolicyConfig, Progress, Standing, play, train_on_policy


@dataclass(frozen=True)
class CameraTrainConfig:
    """One training run."""

    task: CameraControlConfig
    camera: LiquidLensCameraConfig = field(default_factory=LiquidLensCameraConfig)
    learning: OnPolicyConfig = field(default_factory=OnPolicyConfig)
    scenes: int = 300
    """Of the split "train", on which it learns."""
    tested_scenes: int = 64
    """Others of that split, on which it is evaluated while it learns."""
    kinds: tuple[str, ...] = ("aruco",)
    """Of scenes."""
    detector: str = "aruco"
    """In place of the task's while it learns: quicker, and enough for these scenes."""

    def __post_init__(self) -> None:
        check_range(self, scenes=(1, 100_000), tested_scenes=(1, 100_000))


_NETWORK = ActorCriticConfig(widths=(384, 256), activation="relu", heads="sequential")
_GUIDED = PpoConfig(
    network=_NETWORK,
    epochs=24,
    batch=256,
    learning_rate=1e-3,
    decay_updates=100,
    entropy_weight=0.002,
    guidance_weight=1.0,
    guidance_updates=90,
    guidance_kept=50,
    gamma=0.95,
)
"""The simulator knows the best setting: an auxiliary loss says so, less and less."""
_ANY_LIGHT = LiquidLensCameraConfig(start_exposure_us=None)
_WELL_EXPOSED = LiquidLensCameraConfig(start_exposure_us=None, start_well_exposed=True)

PRESETS = {
    "exposure": CameraTrainConfig(
        camera_control.PRESETS["exposure"],
        _ANY_LIGHT,
        OnPolicyConfig(
            replace(_GUIDED, guidance_spread=(2.0,), decay_updates=50, guidance_updates=42),
            updates=50,
        ),
    ),
    "focus": CameraTrainConfig(
        camera_control.PRESETS["focus"],
        _WELL_EXPOSED,
        OnPolicyConfig(replace(_GUIDED, guidance_spread=(0.0, 3.0)), updates=70),
    ),
    "paper focus": CameraTrainConfig(
        camera_control.PRESETS["paper focus"],
        _WELL_EXPOSED,
        OnPolicyConfig(PpoConfig(network=ActorCriticConfig(widths=(256, 256))), updates=150),
    ),
}


def train_camera(config: CameraTrainConfig, run: Run, progress: Progress) -> Standing:
    """Train, or go on with a run cut short; see ``training.on_policy``."""
    tested = camera_env(config, cells=64, tested=True)
    fresh = tested.instrument.state_dict()

    def examine(policy: Policy) -> dict[str, float]:
        """Success and steps of the greedy policy, always in the same episodes."""
        tested.instrument.load_state_dict(fresh)
        return play(policy, tested, rounds=4, seed=1)

    return train_on_policy(
        partial(camera_env, config),
        config.learning,
        run,
        progress,
        examine,
    )


def camera_env(config: CameraTrainConfig, cells: int, tested: bool = False) -> VisuomotorEnv:
    """The task on its simulated camera, with the scenes to learn from or others."""
    count, seed = (config.tested_scenes, 1) if tested else (config.scenes, 0)
    scenes = scene_pool("train", count, seed, config.kinds)
    camera = LiquidLensCamera(config.camera, scenes, cells, config.learning.seed)
    task: Any = CameraControlTask(replace(config.task, detector=config.detector))
    return VisuomotorEnv(camera, task)
