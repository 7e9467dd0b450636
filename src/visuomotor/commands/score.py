"""``visuomotor score``: the focus curve of a saved stack, and where focus is; no policy at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

from visuomotor.errors import InputError
from visuomotor.types import FloatArray, Frames


def command(
    stack: Annotated[str, tyro.conf.Positional],
    measure: tuple[str, ...] = (),
    roi: tuple[int, int, int, int] | None = None,
    smooth_px: float = 1.0,
    out: Path = Path("score.png"),
    json_output: Annotated[bool, tyro.conf.arg(name="json")] = False,
) -> int:
    """Plot every focus measure over a stack and say where focus is.

    Args:
        stack: A focal stack: OME-TIFF, multi-page TIFF, a folder of pictures, or "demo".
        measure: Only these measures.
        roi: Region to judge: top left height width, in pixels.
        smooth_px: Sigma of the Gaussian before each measure, against noise.
        out: The picture.
        json_output: Print one JSON object.
    """
    from rich.console import Console
    from rich.table import Table

    from visuomotor.commands._stacks import load_stack
    from visuomotor.figures import score_figure
    from visuomotor.tasks.judging import EXPLANATIONS, Verdict, judge, limit_direction
    from visuomotor.vision import focus
    from visuomotor.vision.noise import noise_sharpness
    from visuomotor.vision.transforms import smooth, thumbnails

    if not 0 <= smooth_px <= 100:
        raise InputError(f"smooth_px: expected 0 to 100, got {smooth_px}")
    recorded = load_stack(stack)
    names = measure or tuple(focus.measures())
    limits = (float(recorded.positions[0]), float(recorded.positions[-1]))
    curves, verdicts = {}, {}
    for name in names:
        function = focus.measure(name)

        def smoothed(frames: Frames, function: focus.Measure = function) -> FloatArray:
            return function(smooth(frames, smooth_px))

        curve = recorded.curve(smoothed, roi)
        best = recorded.planes(np.array([int(np.argmax(curve.sharpness))]))
        noise = float(noise_sharpness(best, smoothed)[0])
        # Where the looks end does not matter here: as if a sweep had gone back to its best.
        looks = np.append(curve.positions, curve.best_position)
        values = np.append(curve.sharpness, curve.maximum)
        curves[name] = curve
        verdicts[name] = judge(looks, values, noise, limits, {"stopped"})
    peaks = {name: curve.best_position for name, curve in curves.items()}
    # Most light is not the sharpest picture: measures of brightness are shown, but have no vote.
    voters = [name for name in names if focus.promises(name).ignores_light] or list(names)
    agreed = [peaks[name] for name in voters if verdicts[name] is Verdict.FOCUSED]
    # The median of those that found a peak inside; a position of the stack, not a mean of two.
    where = sorted(agreed)[len(agreed) // 2] if agreed else None
    verdict = Verdict.FOCUSED if agreed else verdicts[voters[0]]
    text = EXPLANATIONS[verdict]
    if verdict is Verdict.AT_LIMIT:
        first = curves[voters[0]]
        up = limit_direction(first.positions, first.sharpness, limits) > 0
        text += f" ({'above' if up else 'below'} {limits[1] if up else limits[0]:.6g})"
    near = 0.05 * (limits[1] - limits[0])
    alike = sum(where is not None and abs(peaks[name] - where) <= near for name in voters)
    headline = (
        f"focus at {where:.6g} {recorded.unit} "
        f"({alike} of {len(voters)} measures within 5 % of the range)"
        if where is not None
        else f"{verdict}: {text}"
    )
    middle = where if where is not None else float(np.mean(limits))
    shown = [limits[0], (limits[0] + middle) / 2, middle, (limits[1] + middle) / 2, limits[1]]
    ids = np.array([int(np.argmin(np.abs(recorded.positions - p))) for p in shown])
    pictures = thumbnails(recorded.planes(ids), 160, recorded.display_range)
    labels = [f"{recorded.positions[i]:.4g}" for i in ids]
    title = f"{recorded.name}: {headline}"
    pairs = list(zip(labels, pictures, strict=True))
    brightness = [name for name in names if name not in voters]
    score_figure(out, curves, where, pairs, title, recorded.unit, brightness)
    if json_output:
        answer = {
            "stack": recorded.name,
            "positions": recorded.positions.tolist(),
            "unit": recorded.unit,
            "focus": where,
            "verdict": str(verdict),
            "peaks": peaks,
            "verdicts": {name: str(value) for name, value in verdicts.items()},
            "brightness": brightness,
            "curves": {name: curve.sharpness.tolist() for name, curve in curves.items()},
            "picture": str(out),
        }
        print(json.dumps(answer))
        return 0 if where is not None else 1
    table = Table(
        title=f"{recorded.name}: {recorded.num_positions} positions", title_justify="left"
    )
    table.add_column("measure", min_width=max(map(len, names)))
    table.add_column(f"sharpest at ({recorded.unit})", justify="right")
    table.add_column("max / min", justify="right")
    table.add_column("verdict")
    for name, curve in curves.items():
        contrast = curve.maximum / max(float(curve.sharpness.min()), 1e-300)
        ratio = f"{contrast:.3g}" if contrast < 1e6 else "very large"
        found = "(brightness)" if name in brightness else str(verdicts[name])
        table.add_row(name, f"{peaks[name]:.6g}", ratio, found)
    console = Console(highlight=False)
    console.print(table)
    if brightness:
        console.print("measures of brightness do not count: most light is not the sharpest picture")
    console.print(f"{headline}\npicture: {out}")
    return 0 if where is not None else 1
