"""What is known of focus where the instrument knows it: curves, the expert, and shortest ways.

Trainers and evaluators read it; a policy at test time never does, nor does a run for a person.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

import numpy as np

from visuomotor.instruments.protocols import DeadReckons, HasFocusTruth
from visuomotor.tasks.discrete_search import best_actions, moves_to_focus
from visuomotor.types import FloatArray, FocusCurve, Frames, IntArray


class FocusTruth:
    """The truth about B cells. Discrete actions only have an expert and shortest ways."""

    def __init__(
        self,
        knower: HasFocusTruth,
        measure: Callable[[Frames], FloatArray],
        key: Hashable,
        success_fraction: float,
    ) -> None:
        """Key names the measure, so that the instrument need not make its curves twice."""
        self._knower = knower
        self._reckoner = knower if isinstance(knower, DeadReckons) else None
        self._success_fraction = success_fraction
        self.curves: list[FocusCurve] = knower.focus_truth(measure, key)
        self._best = np.array([curve.best_position for curve in self.curves])
        self._maximum = np.array([curve.maximum for curve in self.curves])

    def plan(self, steps: tuple[int, ...], fine_step: float, limits: tuple[float, float]) -> None:
        """Work out shortest ways with these displacements (in fine steps)."""
        self._fine_step, self._low = fine_step, limits[0]
        self._count = round((limits[1] - limits[0]) / fine_step) + 1
        grid = self._low + fine_step * np.arange(self._count, dtype=np.float64)
        shape = (len(self.curves), self._count)
        self._action = np.empty(shape, np.int64)  # the first of the best ones
        self._steps = np.empty(shape, np.int64)
        for view, curve in enumerate(self.curves):
            sharp = curve.at(grid) > self._success_fraction * curve.maximum
            moves = moves_to_focus(sharp, steps)
            self._action[view] = best_actions(moves, steps).argmax(axis=1)
            self._steps[view] = moves + 1

    def maximum(self) -> FloatArray:
        """(B,) F_max of each cell's view."""
        return self._maximum[self._knower.views()]

    def sharpness(self, seen: FloatArray) -> FloatArray:
        """(B,) the sharpness that counts: as seen (B,), or off the curve at the true position
        where the instrument knows that pictures or motion are disturbed."""
        if self._reckoner is None:
            return seen
        true, views, at = seen.copy(), self._knower.views(), self._reckoner.true_position
        for view in np.unique(views):
            true[views == view] = self.curves[view].at(at[views == view])
        return true

    def undisturbed(self, seen: FloatArray) -> dict[str, FloatArray]:
        """For ``info``: what is true, where the instrument knows that what is seen (B,) is not."""
        if self._reckoner is None:
            return {}
        at = self._reckoner.true_position
        return {"true_position": at, "true_sharpness": self.sharpness(seen)}

    def distance(self, position: FloatArray) -> FloatArray:
        """(B,) signed way to the sharpest position, in the axis' unit, from position (B,), or from
        the true one where the drive only believes to be there."""
        return self._best[self._knower.views()] - self._true(position)

    def shortest_way(self, position: FloatArray) -> tuple[IntArray, IntArray]:
        """From position (B,), or the true one: an action on a shortest way to focus, (B,), where
        there is none the first of the set; and (B,) the steps an omniscient searcher needs, the
        stop counted."""
        index = np.rint((self._true(position) - self._low) / self._fine_step).astype(np.int64)
        here = self._knower.views(), np.clip(index, 0, self._count - 1)
        return self._action[here], self._steps[here]

    def _true(self, believed: FloatArray) -> FloatArray:
        return believed if self._reckoner is None else self._reckoner.true_position
