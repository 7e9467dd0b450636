"""Figures 3 to 7 of the paper, what the agents look at, and what bad weather does to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visuomotor.agents.base import Policy
from visuomotor.agents.camera_searches import AutoExposure
from visuomotor.agents.hierarchical import HierarchicalPolicy
from visuomotor.agents.untried import UntriedPolicy
from visuomotor.camera_figures import (
    Components,
    Curve,
    Shot,
    attention_figure,
    bars_figure,
    components_figure,
    histograms_figure,
    learning_curves,
    shots_figure,
    trajectories_figure,
)
from visuomotor.configs import to_plain
from visuomotor.env import VisuomotorEnv
from visuomotor.instruments.simulated.liquid_lens_camera import LiquidLensCamera
from visuomotor.instruments.simulated.lit_scenes import scene_pool
from visuomotor.instruments.simulated.nuisances import NuisanceConfig
from visuomotor.models.detectors import detector
from visuomotor.models.encoders import encoder
from visuomotor.rollout import Rollout
from visuomotor.runs import Run
from visuomotor.studies.anikina2021.looking import attention
from visuomotor.studies.anikina2021.measuring import (
    BOTH,
    StudyConfig,
    best_setting_shows,
    episodes_of,
)
from visuomotor.studies.job import Clock, Job
from visuomotor.tasks import camera_control
from visuomotor.vision.exposure import histogram
from visuomotor.zoo import load_policy

LIGHTS_LX = (13.0, 50.0, 100.0, 200.0, 300.0)
FIGURE4_LX = 37.0
FIGURE5_LX = (13.0, 103.0, 300.0)
FIGURE7_LX = tuple(float(lux) for lux in range(13, 301, 10))
DETECTORS = {"aruco": ("aruco",), "markers": ("aruco", "qr"), "haar": ("face",)}
"""Detectors, and the kinds of scenes whose objects they know."""
APERTURES = (1.4, 2.0, 2.8)
WEATHER = {
    "none": NuisanceConfig(),
    "glare": NuisanceConfig(glare=0.1),
    "rain": NuisanceConfig(rain=0.2),
    "dust": NuisanceConfig(dust=0.3),
    "flicker": NuisanceConfig(flicker=0.3),
    "moving": NuisanceConfig(distance_drift_cm=1.0, lateral_drift_px=2.0),
}
"""More of it, and the detector itself finds hardly anything, however the camera is set."""
NAMES = {"focus": "DASHA, default", "paper-focus": "DASHA, features alone"}
NAMES |= {"phase": "phase shift [11]", "tenengrad": "Tenengrad [12]"}


def figure3(job: Job) -> None:
    """Learning curves of the focus agents, of the runs that are there."""
    curves, losses = {}, {}
    for folder, name in NAMES.items():
        path = job.runs / job.study / folder
        if not (path / "config.json").is_file():
            continue
        rows = Run.open(path).metrics()
        told = [[row[key] for row in rows] for key in ("step", "mean_steps", "success")]
        curves[name] = Curve(*told)
        losses[name] = {
            key: [row[f"{key}_loss"] for row in rows]
            for key in ("policy", "value", "guidance")
            if any(row[f"{key}_loss"] for row in rows)
        }
    if not curves:
        job.say(f"figure3: left out, as there are no runs in {job.runs / job.study}")
        return
    learning_curves(_file(job, "figure3"), curves, losses)


def figure4(job: Job) -> None:
    """Pictures at 37 lx by their features' principal components; three detectors."""
    config, extract = job.config, encoder("small")
    seen: dict[str, NDArray[np.float32]] = {}
    ended: dict[str, NDArray[np.float32]] = {}
    found: dict[str, NDArray[np.bool_]] = {}
    recovered: dict[str, float] = {}
    light = {"illuminance_lx": (FIGURE4_LX, FIGURE4_LX), "start_exposure_us": None}
    for name, kinds in DETECTORS.items():
        find, chosen = detector(name), replace(config, kinds=kinds)
        frames = _anywhere(chosen, config.figure4_pictures // len(DETECTORS), light)
        ends = _last_pictures(chosen, load_policy(BOTH), **light)
        seen[name], ended[name] = extract(frames), extract(ends)
        found[name] = np.array([one is not None for one in find(frames)])
        recovered[name] = float(np.mean([one is not None for one in find(ends)]))
    every = np.concatenate(list(seen.values()))
    middle = every.mean(0)
    axes = np.linalg.svd(every - middle, full_matrices=False)[2][:3].T
    components_figure(
        _file(job, "figure4"),
        {
            name: Components(
                (seen[name] - middle) @ axes,
                found[name],
                (ended[name] - middle) @ axes,
                recovered[name],
            )
            for name in DETECTORS
        },
    )


def figure5(job: Job) -> None:
    """Histograms of the pictures that the agents and brute-force automatic exposure end with."""
    config, policy = job.config, load_policy(BOTH)
    assert isinstance(policy, HierarchicalPolicy)  # as it ships
    automatic = HierarchicalPolicy(policy.spec, AutoExposure(policy.spec), policy.low)
    stacks: list[dict[str, Any]] = []
    for chosen in (policy, automatic):
        stacks.append({})
        for light in FIGURE5_LX:
            frames = _last_pictures(config, chosen, illuminance_lx=(light, light))
            counted = histogram(frames)
            stacks[-1][f"{light:.0f} lx"] = counted / counted.sum(1, keepdims=True)
    histograms_figure(_file(job, "figure5"), *stacks)


def figure6(job: Job) -> None:
    """First and last pictures at several lights."""
    shots, policy = {}, load_policy(BOTH)
    for number, light in enumerate(LIGHTS_LX):
        for dark in (True, False):
            start = 1.5e3 if dark else 1e6
            env = _both(policy, job.config, light, 1, number, start_exposure_us=start)
            rollout = Rollout(policy, env, np.random.default_rng(number))
            rollout.reset(number)
            before, first = env.instrument.camera.grab(np.array([0]))[0], rollout.info
            while not rollout.finished:
                rollout.step()
            after, last = env.instrument.camera.grab(np.array([0]))[0], rollout.info
            top, left, height, width = (int(value) for value in last["box"][0])
            shots[f"{light:.0f} lx, {'short' if dark else 'long'}"] = Shot(
                before, after, (top, left, height, width), _set(first), _set(last)
            )
    shots_figure(_file(job, "figure6"), shots)


def figure7(job: Job) -> None:
    """Where exposure and lens end, over illuminance and aperture."""
    exposures, lenses, policy = {}, {}, load_policy(BOTH)
    for aperture in APERTURES:
        name = f"f/{aperture:g}"
        lens = replace(job.config.camera.lens, f_number=aperture)
        ends: list[tuple[float, float]] = []
        for light in FIGURE7_LX:
            env = _both(policy, job.config, light, 16, 0, lens=lens)
            info = _played(policy, env)
            away = info["position"] - info["best_lens"]
            ends.append((float(np.median(info["exposure_us"])) / 1e3, float(np.median(away))))
        exposure, left = np.array(ends).T
        exposures[name] = np.array(FIGURE7_LX), exposure
        lenses[name] = np.array(FIGURE7_LX), left
    trajectories_figure(_file(job, "figure7"), exposures, lenses)


def gradcam(job: Job) -> None:
    """What decides the agents' last actions (Grad-CAM, which the paper leaves for later)."""
    policy = load_policy(BOTH)
    assert isinstance(policy, HierarchicalPolicy)  # as it ships
    rows: dict[str, list[tuple[str, Any, Any]]] = {"exposure agent": [], "focus agent": []}
    for number, light in enumerate((13.0, 100.0, 300.0)):
        for start in (1.5e3, 1e6):
            env = _both(policy, job.config, light, 1, number, start_exposure_us=start)
            rollout = Rollout(policy, env, np.random.default_rng(number))
            rollout.reset(number)
            last: dict[str, tuple[str, Any, Any]] = {}
            while not rollout.finished:
                # Another picture than the one that was seen, and but for noise the same.
                picture = env.instrument.camera.grab(np.array([0]))[0]
                step = rollout.step()
                focusing = bool(step.info["focusing"][0])
                name, agent = ("focus", policy.low) if focusing else ("exposure", policy.high)
                learned = agent.trained if isinstance(agent, UntriedPolicy) else agent
                action = step.action[0, 1:] if focusing else step.action[0, :1]
                weight = attention(learned, step.observation, picture, action)
                last[f"{name} agent"] = f"{light:.0f} lx, {_set(step.info)}", picture, weight
            for name, shown in last.items():
                rows[name].append(shown)
    attention_figure(_file(job, "gradcam"), rows)


def beyond(job: Job) -> None:
    """Both agents in glare, rain, dust, flicker, and before an object that moves; beside them what
    the detector finds at the exposure and lens that are best without."""
    config, policy = job.config, load_policy(BOTH)
    assert isinstance(policy, HierarchicalPolicy)  # as it ships
    automatic = HierarchicalPolicy(policy.spec, AutoExposure(policy.spec), policy.low)
    fewer = replace(config, episodes=min(config.episodes, 300))
    shares: dict[str, dict[str, float]] = {"agents": {}, "auto": {}, "best_setting": {}}
    for kind, nuisances in WEATHER.items():
        clock = Clock()
        shown, rows = best_setting_shows(fewer, policy, nuisances=nuisances)
        others = episodes_of(fewer, automatic, nuisances=nuisances)
        found = {"agents": rows, "auto": others}
        told = {
            name: float(np.mean([row.detected for row in ends])) for name, ends in found.items()
        }
        told["best_setting"] = float(np.mean(shown))
        for name, share in told.items():
            shares[name][kind] = share
        job.keep(
            [
                job.row(
                    f"beyond.{kind}.{name}.detected",
                    share,
                    "share of episodes",
                    "--only beyond",
                    seeds=[config.seed],
                    n=len(rows),
                    config=to_plain(fewer) | {"camera.nuisances": to_plain(nuisances)},
                    seconds=round(clock.seconds, 1),
                )
                for name, share in told.items()
            ]
        )
    names = {
        "agents": "both agents",
        "auto": "auto-exposure, focus agent",
        "best_setting": "set as is best without",
    }
    bars_figure(_file(job, "beyond"), {names[key]: values for key, values in shares.items()})


FIGURES: dict[str, Callable[[Job], None]] = {
    "figure3": figure3,
    "figure4": figure4,
    "figure5": figure5,
    "figure6": figure6,
    "figure7": figure7,
    "gradcam": gradcam,
    "beyond": beyond,
}


def _file(job: Job, name: str) -> Any:
    return job.results.parent / f"{name}.png"


def _anywhere(config: StudyConfig, count: int, light: dict[str, Any]) -> NDArray[np.uint8]:
    """(count, H, W) at any exposure, most of them within a volt of focus or so."""
    scenes = scene_pool("test", config.scenes, config.seed, config.kinds)
    rig = LiquidLensCamera(replace(config.camera, **light), scenes, 50, config.seed)
    draws, every = np.random.default_rng(config.seed), np.arange(rig.num_cells)
    pictures: list[NDArray[np.uint8]] = []
    while len(pictures) * rig.num_cells < count:
        rig.reset(every, None, draws)
        near = rig.best_lens() + draws.normal(0, 0.5, rig.num_cells)
        somewhere = draws.random(rig.num_cells) < 0.25
        rig.focus.move_to(np.where(somewhere, rig.focus.position, near), every)
        pictures.append(rig.camera.grab(every))
    return np.concatenate(pictures)[:count]


def _both(
    policy: Policy, config: StudyConfig, light: float, cells: int, seed: int, **camera: Any
) -> VisuomotorEnv:
    """The task of both agents, in one light."""
    scenes = scene_pool("test", 32, config.seed + seed, config.kinds)
    settings = replace(config.camera, illuminance_lx=(light, light), **camera)
    rig = LiquidLensCamera(settings, scenes, cells, seed)
    task: Any = camera_control.build(policy.spec.config)
    return VisuomotorEnv(rig, task)


def _played(policy: Policy, env: VisuomotorEnv) -> dict[str, Any]:
    rollout = Rollout(policy, env, np.random.default_rng(0))
    rollout.reset(0)
    while not rollout.finished:
        rollout.step()
    return rollout.info


def _last_pictures(config: StudyConfig, policy: Policy, **camera: Any) -> NDArray[np.uint8]:
    """(N, H, W) of the ends of up to 100 episodes."""
    cells = min(config.episodes, 100)
    scenes = scene_pool("test", cells, config.seed, config.kinds)
    rig = LiquidLensCamera(replace(config.camera, **camera), scenes, cells, config.seed)
    task: Any = camera_control.build(policy.spec.config)
    _played(policy, VisuomotorEnv(rig, task))
    pictures: NDArray[np.uint8] = rig.camera.grab(np.arange(cells))
    return pictures


def _set(info: dict[str, Any]) -> str:
    """How the camera was set, in words."""
    return f"{info['exposure_us'][0] / 1e3:.0f} ms, {info['position'][0]:.2f} V"
