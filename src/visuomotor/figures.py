"""The pictures that people are shown."""

from __future__ import annotations

import io
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from visuomotor.files import write_atomically
from visuomotor.tasks.focus_result import FocusResult
from visuomotor.types import FloatArray, FocusCurve

_LEGEND_COLUMNS = 5
"""More names are broken off at the edge of the figure: they take a second row."""
COLOURS = ("#d1495b", "#2e6f95", "#3c8d5a", "#b5762a", "#7b5ea7", "#777777")
_CURVE = "#8a8f98"
_TAB10_GREY = 7
_LINES = ("-", "--", ":")
_MARKERS = ("o", "s", "^", "D")
_TICKS = [1, 2, 5, 10, 20, 50, 100]
STYLE: Any = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "figure.facecolor": "white",
}


def demo_figure(
    path: Path,
    curve: FocusCurve,
    results: Mapping[str, FocusResult],
    before: NDArray[Any],
    after: NDArray[Any],
    unit: str,
) -> None:
    """The focus curve, each method's looks on it in their order, pictures before and after.

    results: by name of the method, all from the same start; the first is the one whose pictures
    ``before`` and ``after`` (H, W) are.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10, 6.4), dpi=110, layout="constrained")
        grid = figure.add_gridspec(2, 2, width_ratios=(3, 1.15), height_ratios=(1.15, 1))
        top = figure.add_subplot(grid[0, 0])
        bottom = figure.add_subplot(grid[1, 0], sharex=top)
        _draw_curve(top, curve)
        # The shortest path last, so that it is not hidden below the sweeps.
        for row, (name, result) in reversed(list(enumerate(results.items()))):
            colour = COLOURS[row % len(COLOURS)]
            path_positions = np.array(result.path)
            order = np.arange(1, len(path_positions) + 1)
            # On the curve, whatever the method itself measured: they are compared by position.
            sharpness = curve.at(path_positions) / curve.maximum
            size = 26 if row == 0 else 9
            top.scatter(path_positions, sharpness, s=size, color=colour, zorder=3 + (row == 0))
            label = f"{name}: {result.exposures} exposures"
            bottom.plot(path_positions, order, "-o", ms=3, lw=1.2, color=colour, label=label)
            bottom.plot(path_positions[-1], order[-1], "s", ms=7, mec=colour, mfc="none")
        start = next(iter(results.values())).start
        top.axvline(start, color="black", lw=0.8, ls=":")
        top.annotate(
            " start", (start, 1.0), va="top", xycoords=("data", "axes fraction"), fontsize=8
        )
        top.set_title("Focus curve and what each method looked at", loc="left")
        at_right = start > float(np.mean(curve.positions[[0, -1]]))
        top.legend(loc="upper left" if at_right else "upper right", fontsize=8)
        top.tick_params(labelbottom=False)
        # A full sweep takes a hundred looks, a policy five: only a log axis shows both.
        bottom.set_yscale("log")
        bottom.set_yticks(_TICKS, [str(tick) for tick in _TICKS])
        bottom.minorticks_off()
        bottom.invert_yaxis()
        bottom.set(xlabel=f"focus position ({unit})", ylabel="exposure number")
        handles, labels = bottom.get_legend_handles_labels()
        # Below: inside, one look or another would lie under it.
        columns = len(labels) if len(labels) <= _LEGEND_COLUMNS else -(-len(labels) // 2)
        figure.legend(
            handles[::-1], labels[::-1], fontsize=8, loc="outside lower left", ncols=columns
        )
        name, result = next(iter(results.items()))
        _picture(figure.add_subplot(grid[0, 1]), before, f"before: {result.start:.4g} {unit}")
        title = f"after ({name}): {result.position:.4g} {unit}"
        _picture(figure.add_subplot(grid[1, 1]), after, title)
        save_figure(figure, path)


def tidy(position: float) -> float:
    """As a person wants to read it: rounding is not shown, and there is no minus zero."""
    return round(position, 9) + 0.0


def _numbered(
    x: NDArray[Any], y: NDArray[Any], shown: Iterable[int]
) -> list[tuple[float, float, str]]:
    """Where to write the number of each look; looks too near to each other share one text."""
    near = np.array([max(np.ptp(x), 1e-300) * 0.06, max(np.ptp(y), 1e-300) * 0.05])
    groups: list[list[int]] = []
    for look in shown:
        here = np.array([x[look], y[look]])
        for group in groups:
            if (np.abs(here - (x[group[0]], y[group[0]])) < near).all():
                group.append(look)
                break
        else:
            groups.append([look])
    return [(x[g[0]], y[g[0]], ", ".join(str(look + 1) for look in g)) for g in groups]


def focus_figure(
    path: Path,
    curve: FocusCurve | None,
    result: FocusResult,
    before: NDArray[Any],
    after: NDArray[Any],
    title: str,
) -> None:
    """One focus run: the curve where it is known, the path in its order, before and after."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9, 4.2), dpi=110, layout="constrained")
        grid = figure.add_gridspec(2, 2, width_ratios=(2.6, 1))
        axes = figure.add_subplot(grid[:, 0])
        positions = np.array(result.path)
        sharpness = np.array([s for _, s in result.curve])
        scale = max(curve.maximum if curve else 0.0, float(sharpness.max()), 1e-12)
        if curve is not None:
            _draw_curve(axes, curve, scale)
        axes.plot(positions, sharpness / scale, "-", color=COLOURS[0], lw=1, alpha=0.6)
        axes.scatter(positions, sharpness / scale, color=COLOURS[0], zorder=3, s=26)
        shown = range(len(positions)) if len(positions) <= 25 else (0, len(positions) - 1)
        for x, y, text in _numbered(positions, sharpness / scale, shown):
            axes.annotate(text, (x, y), (4, 4), textcoords="offset points", fontsize=8)
        axes.set(
            xlabel=f"focus position ({result.unit})",
            ylabel="sharpness / maximum" if curve else "sharpness / sharpest look",
        )
        axes.set_title(
            f"{title}\n{result.verdict} at {tidy(result.position):.4g} {result.unit}, "
            f"{result.exposures} exposures",
            loc="left",
        )
        if curve is not None:
            axes.legend(fontsize=8)
        _picture(figure.add_subplot(grid[0, 1]), before, f"before: {tidy(result.start):.4g}")
        _picture(figure.add_subplot(grid[1, 1]), after, f"after: {tidy(result.position):.4g}")
        save_figure(figure, path)


def score_figure(
    path: Path,
    curves: Mapping[str, FocusCurve],
    focus_position: float | None,
    pictures: Sequence[tuple[str, NDArray[Any]]],
    title: str,
    unit: str,
    brightness: Collection[str] = (),
) -> None:
    """Every measure over a stack, each from 0 to 1, and pictures at a few positions.

    brightness: names of the curves that show light, not sharpness; grey, behind the others.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10.5, 6.2), dpi=110, layout="constrained")
        grid = figure.add_gridspec(2, len(pictures), height_ratios=(2.4, 1))
        axes = figure.add_subplot(grid[0, :])
        colours = mpl.colormaps["tab10"]
        colour_numbers = [number for number in range(10) if number != _TAB10_GREY]
        sharp = [name for name in curves if name not in brightness]
        for number, name in enumerate([*sharp, *(name for name in curves if name in brightness)]):
            curve = curves[name]
            shown = (curve.sharpness - curve.sharpness.min()) / max(curve.range, 1e-300)
            dots = "o" if len(curve.positions) <= 60 else ""
            turn, place = divmod(number, len(colour_numbers))
            look: Any = {"color": colours(colour_numbers[place]), "ls": _LINES[turn % len(_LINES)]}
            if name in brightness:
                look = {"color": _CURVE, "ls": _LINES[(number - len(sharp)) % 2 + 1], "zorder": 1}
            label = f"{name} (light)" if name in brightness else name
            axes.plot(curve.positions, shown, marker=dots, ms=2.5, lw=1.2, label=label, **look)
        if focus_position is not None:
            axes.axvline(focus_position, color="black", lw=0.8, ls=":")
        axes.set(xlabel=f"focus position ({unit})", ylabel="measure, 0 to 1 over the stack")
        axes.set_title(title, loc="left")
        axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5), handlelength=3.2)
        for column, (label, picture) in enumerate(pictures):
            _picture(figure.add_subplot(grid[1, column]), picture, label)
        save_figure(figure, path)


def learning_figure(path: Path, panels: Mapping[str, Mapping[str, Sequence[Any]]]) -> None:
    """Cost and accuracy against time steps, a row for each experiment, a line for each seed.

    panels: experiment -> run -> the metrics of its evaluations. Accuracies on views that are only
    tested on (``accuracy_NAME``) are drawn beside the training view's.
    """
    with mpl.rc_context(STYLE):
        size = (9, 2.1 * len(panels) + 0.4)
        figure = Figure(figsize=size, dpi=110, layout="constrained")
        grid = figure.subplots(len(panels), 2, squeeze=False)
        for (name, runs), (left, right) in zip(panels.items(), grid, strict=True):
            for number, metrics in enumerate(runs.values()):
                if not metrics:
                    continue  # it was stopped before its first evaluation
                steps = [m["step"] / 1000 for m in metrics]
                cost = [m.get("loss", np.nan) for m in metrics]
                left.plot(steps, cost, lw=0.9, color=COLOURS[1], alpha=0.7)
                tested = [k for k in metrics[0] if k.startswith("accuracy_")]
                tested = [k for k in tested if k != "accuracy_every_start"]
                # Test views are broken lines: where they lie on each other, all are seen.
                styles = zip((COLOURS[0], "#444444", "#e0a030"), ("-", "--", ":"), strict=True)
                for (colour, dashes), key in zip(styles, ["accuracy", *tested], strict=False):
                    shown = [100 * m[key] for m in metrics]
                    words = key.removeprefix("accuracy").strip("_").replace("_", " ")
                    label = (words or "training view") if number == 0 else None
                    width = 1.1 if dashes == "-" else 1.8
                    right.plot(steps, shown, dashes, lw=width, color=colour, alpha=0.8, label=label)
            left.set_yscale("log")
            left.set(ylabel="cost")
            left.set_title(f"{name}: {len(runs)} seed{'s' * (len(runs) > 1)}", loc="left")
            right.set(ylabel="accuracy (%)", ylim=(-4, 104))
            if len(right.get_legend_handles_labels()[0]) > 1:
                right.legend(fontsize=7.5, loc="center right")
        for axes in grid[-1]:
            axes.set_xlabel("thousand time steps")
        save_figure(figure, path)


def adapting_figure(path: Path, runs: Mapping[str, Sequence[Any]]) -> None:
    """Cost and success on fresh starts against real steps, a line for each run."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9, 2.8), dpi=110, layout="constrained")
        left, right = figure.subplots(1, 2)
        for colour, (name, metrics) in zip(COLOURS, runs.items(), strict=False):
            steps = [m["step"] for m in metrics]
            left.plot(steps, [m["loss"] for m in metrics], "-o", ms=3, lw=1.1, color=colour)
            shown = [100 * m["accuracy"] for m in metrics]
            right.plot(steps, shown, "-o", ms=3, lw=1.1, color=colour, label=name)
        left.set(ylabel="cost", yscale="log", xlabel="real steps")
        lowest = min(100 * m["accuracy"] for metrics in runs.values() for m in metrics)
        right.set(ylim=(min(90.0, lowest) - 1, 100.5), xlabel="real steps")
        right.set_ylabel("fresh starts focused (%)")
        right.legend(fontsize=7.5, loc="lower right")
        save_figure(figure, path)


def ends_figure(path: Path, ends: Mapping[str, FloatArray], threshold: float) -> None:
    """Where episodes ended, (N,) shares of the maximum of sharpness: a histogram each."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7, 3), dpi=110, layout="constrained")
        axes = figure.subplots()
        colours, bins = (COLOURS[1], COLOURS[2]), np.linspace(0, 1, 21)
        axes.hist(list(ends.values()), bins.tolist(), color=colours[: len(ends)], label=list(ends))
        axes.axvline(threshold, color="black", lw=0.8, ls=":")
        axes.set(xlabel="sharpness where it ended / maximum", ylabel="episodes")
        axes.legend(fontsize=8, loc="upper center")
        save_figure(figure, path)


def searchers_figure(path: Path, points: Mapping[str, tuple[float, float]]) -> None:
    """Success (a share) against mean exposures of every searcher, all of them and the better ones:
    up and left is better.

    points: by name, (exposures, success). One searcher at several settings, NAME_NUMBER, is a line.
    """
    swept: dict[str, list[tuple[float, float]]] = {}
    for name, point in points.items():
        base, _, number = name.rpartition("_")
        if base and number.replace(".", "").isdigit():
            swept.setdefault(base, []).append(point)
    alone = {name: at for name, at in points.items() if name.rpartition("_")[0] not in swept}
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10.5, 4.2), dpi=110, layout="constrained")
        panels = figure.subplots(1, 2, sharex=True)
        for axes, bottom in zip(panels, (-3, 78), strict=True):
            for base, line in swept.items():
                x, y = np.array(sorted([*line, *([points[base]] if base in points else [])])).T
                label = f"{base}, other settings"
                axes.plot(x, 100 * y, "-o", ms=3, lw=1, color=_CURVE, label=label, zorder=1)
            for place, (name, (exposures, success)) in enumerate(alone.items()):
                look = {
                    "color": COLOURS[place % len(COLOURS)],
                    "marker": _MARKERS[place // len(COLOURS) % len(_MARKERS)],
                }
                axes.scatter(exposures, 100 * success, s=38, alpha=0.85, label=name, **look)
            axes.set_xscale("log")
            axes.set_xticks(_TICKS, [str(tick) for tick in _TICKS])
            axes.minorticks_off()
            axes.set(xlabel="exposures, mean", xlim=(0.8, 180), ylim=(bottom, 101.5))
            axes.grid(lw=0.3)
        panels[0].set(ylabel="success (%)")
        panels[0].set_title("Unseen simulated views", loc="left")
        panels[1].set_title("the same, the upper part", loc="left")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, fontsize=8, loc="outside right center")
        save_figure(figure, path)


def severity_figure(
    path: Path, panels: Mapping[str, Mapping[str, Sequence[tuple[float, float]]]]
) -> None:
    """Success (a share) against severity: a panel for each disturbance, a line for each searcher.

    panels: disturbance -> searcher -> (severity, success), in any order.
    """
    with mpl.rc_context(STYLE):
        rows = -(-len(panels) // 3)
        figure = Figure(figsize=(9.5, 2.2 * rows + 0.5), dpi=110, layout="constrained")
        grid = figure.subplots(rows, 3, squeeze=False, sharex=True, sharey=True)
        names = sorted({name for curves in panels.values() for name in curves})
        for axes, (title, curves) in zip(grid.flat, panels.items(), strict=False):
            for name, points in curves.items():
                number = names.index(name)
                x, y = np.array(sorted(points)).T
                look: Any = {"color": COLOURS[number % len(COLOURS)]}
                look["ls"] = _LINES[number // len(COLOURS) % len(_LINES)]
                axes.plot(x, 100 * y, marker="o", ms=3, lw=1.2, label=name, **look)
            axes.set_title(title.replace("_", " "), loc="left", fontsize=9)
            axes.set(ylim=(-4, 104))
            axes.tick_params(labelbottom=True)
        for axes in grid.flat[len(panels) :]:
            axes.set_axis_off()
        for axes in grid[:, 0]:
            axes.set_ylabel("success (%)")
        for axes in grid[-1]:
            axes.set_xlabel("severity, 1 is the preset's")
        handles, labels = grid.flat[0].get_legend_handles_labels()
        figure.legend(handles, labels, fontsize=8, loc="outside lower left", ncols=len(labels))
        save_figure(figure, path)


def views_figure(path: Path, success: Mapping[str, Mapping[int, float]]) -> None:
    """Share of unseen views that are focused against the number of views trained on, a curve for
    each way to choose them; success[way][views]."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7, 4.2), dpi=110, layout="constrained")
        axes = figure.subplots()
        for (way, found), marker in zip(success.items(), "osd^", strict=False):
            counts = sorted(found)
            shares = [100 * found[count] for count in counts]
            axes.plot(counts, shares, marker=marker, ms=5, lw=1.4, label=way)
        axes.set_xscale("log", base=2)
        counts = sorted({count for found in success.values() for count in found})
        axes.set_xticks(counts, [str(count) for count in counts])
        axes.set_ylim(0, 102)
        axes.set_xlabel("views trained on")
        axes.set_ylabel("unseen views focused, %")
        axes.grid(alpha=0.3)
        axes.legend(loc="lower right")
        save_figure(figure, path)


def _draw_curve(axes: Any, curve: FocusCurve, scale: float | None = None) -> None:
    relative: FloatArray = curve.sharpness / (scale or curve.maximum)
    axes.plot(
        curve.positions,
        relative,
        color=_CURVE,
        lw=1.4,
        label="focus curve (recorded planes)",
        zorder=1,
    )
    low, high = _zone(curve)
    axes.axvspan(low, high, color="#3c8d5a", alpha=0.13, lw=0, label="above 0.9 of the maximum")
    axes.set_ylabel("sharpness / maximum")
    axes.set_ylim(0, 1.08)


def _zone(curve: FocusCurve) -> tuple[float, float]:
    """Ends of the stretch around the maximum that stays above 0.9 of it, between positions too."""
    fine = np.linspace(curve.positions[0], curve.positions[-1], 2001)
    sharp = curve.at(fine) > 0.9 * curve.maximum
    best = int(np.argmin(np.abs(fine - curve.best_position)))
    blurred = np.flatnonzero(~sharp)
    before, after = blurred[blurred < best], blurred[blurred > best]
    first = int(before[-1]) + 1 if len(before) else 0
    last = int(after[0]) - 1 if len(after) else len(fine) - 1
    return float(fine[first]), float(fine[last])


def _picture(axes: Any, picture: NDArray[Any], title: str) -> None:
    axes.imshow(picture, cmap="gray", vmin=0, vmax=255)
    axes.set_title(title, fontsize=8.5)
    axes.set_axis_off()


def save_figure(figure: Figure, path: Path) -> None:
    """As PNG, whole or not at all."""
    content = io.BytesIO()
    figure.savefig(content, format="png")
    write_atomically(path, content.getvalue())
