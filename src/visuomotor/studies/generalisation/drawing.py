"""What the study's figures show, read off its results."""

from __future__ import annotations

from collections.abc import Sequence

from visuomotor.results import Result
from visuomotor.studies.generalisation.measuring import OUTSIDE

SIM, DISTURBED = "unseen_sim.", "unseen_disturbed."


def points_of(rows: Sequence[Result]) -> dict[str, tuple[float, float]]:
    """(exposures, success) of every searcher on the unseen views."""
    known = _numbers(rows)
    points = {}
    for metric, success in known.items():
        name = metric.removeprefix(SIM).removesuffix(".success")
        exposures = known.get(f"{SIM}{name}.exposures")
        if metric == f"{SIM}{name}.success" and exposures is not None:
            points[name] = (exposures, success)
    return points


def curves_of(rows: Sequence[Result]) -> dict[str, dict[str, list[tuple[float, float]]]]:
    """Disturbance -> searcher -> (severity, success), severity 0 included where it means the
    same view undisturbed."""
    known = _numbers(rows)
    curves: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for metric, success in known.items():
        if not metric.startswith(DISTURBED):
            continue
        kind, name, *factor = metric.removeprefix(DISTURBED).split(".", 2)
        if kind == "none":
            continue
        curve = curves.setdefault(kind, {}).setdefault(name, [])
        curve.append((float(factor[0]), success))
        undisturbed = known.get(f"{DISTURBED}none.{name}")
        if len(curve) == 1 and undisturbed is not None and kind not in (OUTSIDE, "blank"):
            curve.append((0.0, undisturbed))
    return curves


def _numbers(rows: Sequence[Result]) -> dict[str, float]:
    return {row.metric: row.ours for row in rows if isinstance(row.ours, float | int)}
