"""``visuomotor run``: carry out a task other than focus with a trained policy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from visuomotor.errors import InputError


def command(
    task: Annotated[Literal["camera"], tyro.conf.Positional],
    grid: Path | None = None,
    light: float = 60.0,
    distance: float = 170.0,
    exposure: float = 10.0,
    lens: float = 30.0,
    scene: int = 0,
    policy: str | None = None,
    out: Path = Path("camera.png"),
    seed: int = 0,
    json_output: Annotated[bool, tyro.conf.arg(name="json")] = False,
) -> int:
    """Set a camera: an exposure time at which the picture is usable, then a lens value in focus.

    On the simulated camera with a liquid lens, or on a recorded grid of focus and exposure.

    Args:
        task: What to do; camera sets exposure and lens.
        grid: A folder of pictures at every pair of focus and exposure, in place of the simulator.
        light: On the simulated scene, in lx (13 to 300).
        distance: Of the simulated object, in cm (140 to 200).
        exposure: Where the simulated camera starts, in ms.
        lens: Where it starts, in V (24 to 70).
        scene: Which of the simulated scenes, none of which a shipped policy was trained on.
        policy: A policy of camera control, or, on a grid, one of focus. If not given: the shipped
            dasha, or focus.
        out: The picture before and after.
        seed: Of noise.
        json_output: Print one JSON object.
    """
    from rich.console import Console

    from visuomotor.camera_figures import Shot, shots_figure
    from visuomotor.files import finite
    from visuomotor.zoo import load_policy

    answer: dict[str, Any]
    if grid is not None:
        answer, shot = _on_grid(grid, load_policy(policy or "focus"), seed)
    else:
        start = (light, distance, exposure, lens, scene)
        answer, shot = _simulated(load_policy(policy or "dasha"), start, seed)
    shots_figure(out, {str(answer["verdict"]): Shot(*shot)})
    answer["picture"] = str(out)
    if json_output:
        print(json.dumps(finite(answer)))
    else:
        shown = {
            name: f"{value:.4g}" if isinstance(value, float) else value
            for name, value in answer.items()
        }
        wide = max(len(name) for name in shown) + 2
        lines = "\n".join(f"{name + ':':<{wide}}{value}" for name, value in shown.items())
        Console(highlight=False).print(lines, soft_wrap=True)
    return 0 if answer["good"] else 1


def _simulated(policy: Any, start: tuple[float, ...], seed: int) -> tuple[dict[str, Any], Any]:
    """The answer, and what is drawn of it."""
    import numpy as np

    from visuomotor.camera_runner import control_camera
    from visuomotor.instruments.simulated.liquid_lens_camera import LiquidLensCamera
    from visuomotor.instruments.simulated.lit_camera import LiquidLensCameraConfig
    from visuomotor.instruments.simulated.lit_scenes import scene_pool
    from visuomotor.tasks.camera_judging import GOOD_ENDS

    light, distance, exposure_ms, lens, scene = start
    if scene < 0:
        raise InputError(f"scene: expected 0 or more, got {scene}")
    one = np.array([0])
    scenes = scene_pool("test", int(scene) + 1)[-1:]
    rig = LiquidLensCamera(LiquidLensCameraConfig(changes=False), scenes, 1, seed)
    rig.set_conditions(
        one, illuminance_lx=light, distance_cm=distance, exposure_us=1e3 * exposure_ms
    )
    rig.reset(one, np.array([lens]), np.random.default_rng(seed))
    before = rig.camera.grab(one)[0]
    (found,) = control_camera(rig, policy, seed, lens)
    after = rig.camera.grab(one)[0]
    answer = {
        "verdict": str(found.verdict),
        "good": found.verdict in GOOD_ENDS,
        "reason": found.reason,
        "exposure_ms": found.exposure_us / 1e3,
        "lens_V": found.lens,
        "steps": found.steps,
        "pictures": found.exposures,
        "true_blur_px": abs(float(rig.defocus_px()[0])),
    }
    ends = f"{found.exposure_us / 1e3:.3g} ms, {found.lens:.2f} V"
    return answer, (before, after, found.box, f"{exposure_ms:.3g} ms, {lens:.2f} V", ends)


def _on_grid(folder: Path, policy: Any, seed: int) -> tuple[dict[str, Any], Any]:
    import numpy as np

    from visuomotor.camera_search import search_camera
    from visuomotor.instruments.recorded.exposure_grid import ExposureGrid
    from visuomotor.tasks.judging import Verdict
    from visuomotor.vision.transforms import to_gray

    grid, one = ExposureGrid.load(folder), np.array([0])
    rig = grid.instrument(1)
    rig.reset(one, None, np.random.default_rng(seed))

    def here() -> tuple[Any, str]:
        lens, time = float(rig.focus.position[0]), float(rig.exposure.position[0])
        text = f"{lens:g} {grid.unit}, {time:g} {grid.exposure_unit}"
        return to_gray(rig.camera.grab(one))[0], text

    before, start = here()
    found = search_camera(rig, policy, seed)
    after, end = here()
    # At an end of what was recorded is where many grids are sharpest.
    good = found.focus.verdict in (Verdict.FOCUSED, Verdict.AT_LIMIT)
    answer = {
        "verdict": str(found.focus.verdict),
        "good": good,
        "reason": found.focus.reason,
        "start": start,
        "end": end,
        "pictures": found.exposures,
    }
    return answer, (before, after, (0, 0, 0, 0), start, end)
