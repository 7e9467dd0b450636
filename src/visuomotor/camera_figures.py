"""The pictures of camera control: learning, features, histograms, before and after, settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from numpy.typing import NDArray

from visuomotor.figures import COLOURS, STYLE, save_figure
from visuomotor.types import FloatArray


class Curve(NamedTuple):
    """One training run."""

    step: Sequence[float]
    mean_steps: Sequence[float]
    success: Sequence[float]


class Shot(NamedTuple):
    """One episode in pictures."""

    before: NDArray[Any]  # (H, W)
    after: NDArray[Any]  # (H, W)
    box: tuple[int, int, int, int]
    """Top, left, height, width of what was detected at the end; zeros for nothing."""
    before_text: str
    after_text: str


class Components(NamedTuple):
    """Pictures of objects that one detector knows."""

    pictures: FloatArray  # (N, 3) anywhere
    detected: NDArray[np.bool_]  # (N,)
    ends: FloatArray  # (K, 3) that the agents ended with
    recovered: float
    """Share of these that are detected."""


def learning_curves(
    path: Path, curves: Mapping[str, Curve], losses: Mapping[str, Mapping[str, Sequence[float]]]
) -> None:
    """Anikina2021, figure 3: steps to focus while learning, and success; the losses beside."""
    styles = {"policy": "-", "value": "--", "guidance": ":"}
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10, 3.2), dpi=110, layout="constrained")
        left, middle, right = figure.subplots(1, 3)
        for row, (name, curve) in enumerate(curves.items()):
            colour, thousands = COLOURS[row % len(COLOURS)], np.array(curve.step) / 1e3
            left.plot(thousands, curve.mean_steps, "-o", ms=2.5, color=colour, label=name)
            success = 100 * np.array(curve.success)
            middle.plot(thousands, success, "-o", ms=2.5, color=colour, label=name)
            for loss, values in losses.get(name, {}).items():
                right.plot(thousands, values, styles[loss], lw=1.2, color=colour)
        for loss, style in styles.items():
            right.plot([], [], style, color="#555555", label=f"{loss} loss")
        left.set_ylabel("steps of an episode")
        middle.set_ylabel("success (%)")
        right.set_ylabel("loss")
        right.set_yscale("symlog", linthresh=0.1)
        for axes in (left, middle, right):
            axes.set_xlabel("time steps (thousands)")
        left.legend(fontsize=7)
        right.legend(fontsize=7, loc="upper right", ncols=3, bbox_to_anchor=(1, 1.1))
        save_figure(figure, path)


def components_figure(path: Path, panels: Mapping[str, Components]) -> None:
    """Anikina2021, figure 4: pictures by the first three principal components of their features,
    by detector."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(3.6 * len(panels), 3.8), dpi=110, layout="constrained")
        for column, (name, shown) in enumerate(panels.items()):
            axes: Any = figure.add_subplot(1, len(panels), column + 1, projection="3d")
            axes.computed_zorder = False  # what is detected is drawn over what is not
            lost, found = shown.pictures[~shown.detected], shown.pictures[shown.detected]
            for order, (places, size, colour, label) in enumerate(
                (
                    (lost, 2, "#b9bec5", "not detected"),
                    (found, 4, COLOURS[1], "detected"),
                    (shown.ends, 7, COLOURS[0], "where the agents end"),
                )
            ):
                axes.scatter(
                    *places.T,
                    s=size,
                    color=colour,
                    label=label,
                    zorder=order,
                    linewidths=0,
                    depthshade=False,
                )
            shares = 100 * shown.detected.mean(), 100 * shown.recovered
            axes.set_title(
                f"{name}: {shares[0]:.0f} % detected,\n{shares[1]:.0f} % where the agents end",
                fontsize=9,
            )
            axes.set_xlabel("component 1", fontsize=7, labelpad=-8)
            axes.set_ylabel("component 2", fontsize=7, labelpad=-8)
            axes.set_zlabel("component 3", fontsize=7, labelpad=-8)
            axes.tick_params(labelsize=5, pad=-3)
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3)
        save_figure(figure, path)


def histograms_figure(
    path: Path, ours: Mapping[str, FloatArray], automatic: Mapping[str, FloatArray]
) -> None:
    """Anikina2021, figure 5: histograms of a stack of pictures, ours and automatic exposure's.

    Both by light: (K, 256) shares of K pictures.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(3.2 * len(ours), 2.6), dpi=110, layout="constrained")
        panels = np.atleast_1d(figure.subplots(1, len(ours), sharey=True))
        for axes, (light, stack) in zip(panels, ours.items(), strict=True):
            for name, shares, colour in (
                ("both agents", stack, COLOURS[2]),
                ("auto-exposure, focus agent", automatic[light], COLOURS[4]),
            ):
                mean = 100 * shares.mean(0).reshape(64, 4).sum(1)
                axes.fill_between(np.arange(64) * 4, mean, color=colour, alpha=0.35)
                axes.plot(np.arange(64) * 4, mean, color=colour, lw=1, label=name)
            axes.axvspan(50, 150, color="#000000", alpha=0.04, lw=0)
            axes.set_title(light, loc="left", fontsize=9)
            axes.set_xlabel("grey level")
        panels[0].set_ylabel("pixels (%)")
        panels[0].legend(fontsize=7)
        save_figure(figure, path)


def shots_figure(path: Path, shots: Mapping[str, Shot]) -> None:
    """Anikina2021, figure 6: first pictures above, those that the agents ended with below."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(1.9 * len(shots), 4.3), dpi=110, layout="constrained")
        panels = figure.subplots(2, len(shots), squeeze=False)
        for column, (name, shot) in enumerate(shots.items()):
            for row, (picture, text) in enumerate(
                ((shot.before, shot.before_text), (shot.after, shot.after_text))
            ):
                axes = panels[row, column]
                axes.imshow(picture, cmap="gray", vmin=0, vmax=255)
                axes.set_xticks([], [])
                axes.set_yticks([], [])
                axes.set_xlabel(text, fontsize=7)
                for spine in axes.spines.values():
                    spine.set_visible(False)
            top, left, height, width = shot.box
            if height:
                panels[1, column].add_patch(
                    mpl.patches.Rectangle((left, top), width, height, fill=False, ec=COLOURS[2])
                )
            panels[0, column].set_title(name, fontsize=8)
        save_figure(figure, path)


def trajectories_figure(
    path: Path,
    exposures: Mapping[str, tuple[FloatArray, FloatArray]],
    lenses: Mapping[str, tuple[FloatArray, FloatArray]],
) -> None:
    """Anikina2021, figure 7: where exposure and lens end over illuminance, one line an aperture.

    Both by aperture: illuminances (lx), and exposures (ms) or the lens' error (V), (N,) each.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8, 3), dpi=110, layout="constrained")
        left, right = figure.subplots(1, 2)
        for row, (name, (light, values)) in enumerate(exposures.items()):
            left.plot(light, values, "o-", ms=2.5, lw=1, color=COLOURS[row], label=name)
        for row, (name, (light, values)) in enumerate(lenses.items()):
            right.plot(light, values, "o-", ms=2.5, lw=1, color=COLOURS[row], label=name)
        left.set_yscale("log")
        left.yaxis.set_major_formatter("{x:g}")
        left.yaxis.set_minor_formatter(NullFormatter())
        left.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        left.set_ylabel("exposure at the end (ms)")
        right.set_ylabel("lens at the end, from focus (V)")
        right.axhline(0, color="#8a8f98", lw=0.8)
        for axes in (left, right):
            axes.set_xlabel("illuminance (lx)")
        left.legend(fontsize=7, title="aperture", title_fontsize=7)
        save_figure(figure, path)


def attention_figure(path: Path, rows: Mapping[str, Sequence[tuple[str, Any, Any]]]) -> None:
    """What an agent looks at: by name of the agent, (title, picture (H, W), weight (H, W) from 0
    to 1) for each picture; the more weight, the more its colour covers."""
    columns = max(len(shown) for shown in rows.values())
    over = mpl.colors.ListedColormap([COLOURS[0]])
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(1.9 * columns, 2.15 * len(rows)), dpi=110, layout="constrained")
        panels = figure.subplots(len(rows), columns, squeeze=False)
        for axes in panels.flat:
            axes.set_xticks([], [])
            axes.set_yticks([], [])
            for spine in axes.spines.values():
                spine.set_visible(False)
        for line, (name, shown) in zip(panels, rows.items(), strict=True):
            for axes, (title, picture, weight) in zip(line, shown, strict=False):
                # Brightest at three quarters of white, so that a colour can be seen over it.
                most = max(60, int(np.max(picture))) / 0.75
                axes.imshow(picture, cmap="gray", vmin=0, vmax=most)
                axes.imshow(np.ones_like(weight), cmap=over, alpha=0.75 * weight, vmin=0, vmax=1)
                axes.set_title(title, fontsize=7)
            line[0].set_ylabel(name, fontsize=8)
        save_figure(figure, path)


def bars_figure(path: Path, detected: Mapping[str, Mapping[str, float]]) -> None:
    """Episodes (share) that end with the object detected, by disturbance, and whose."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8, 3), dpi=110, layout="constrained")
        axes = figure.subplots()
        kinds = list(next(iter(detected.values())))
        wide = 0.8 / len(detected)
        for row, (name, shares) in enumerate(detected.items()):
            at = np.arange(len(kinds)) + (row - (len(detected) - 1) / 2) * wide
            heights = [100 * shares[kind] for kind in kinds]
            axes.bar(at, heights, wide * 0.92, color=COLOURS[row], label=name)
        axes.set_xticks(np.arange(len(kinds)), kinds)
        axes.set_ylabel("object detected at the end (%)")
        axes.set_ylim(0, 105)
        axes.legend(fontsize=7, ncols=len(detected), loc="lower center", bbox_to_anchor=(0.5, 1.0))
        save_figure(figure, path)
