"""Shortest ways to focus on a grid of positions: what an omniscient searcher would do."""

from __future__ import annotations

import numpy as np

from visuomotor.types import BoolArray, ByteArray, IntArray

UNREACHABLE = 10**6


def moves_to_focus(in_focus: BoolArray, steps: tuple[int, ...]) -> IntArray:
    """How many moves each position of a grid is away from the nearest in-focus one, (P,).

    Breadth-first search over the displacements of ``steps`` that stay inside the grid; the stop
    itself is not counted. Positions that cannot get there hold UNREACHABLE.
    """
    distance = np.where(in_focus, 0, UNREACHABLE).astype(np.int64)
    index = np.arange(len(in_focus))
    moves = [step for step in steps if step != 0]
    for _ in range(len(in_focus)):
        best = distance.copy()
        for step in moves:
            inside = (index + step >= 0) & (index + step < len(in_focus))
            best[inside] = np.minimum(best[inside], distance[index[inside] + step] + 1)
        if (best == distance).all():
            break
        distance = best
    return distance


def best_actions(distance: IntArray, steps: tuple[int, ...]) -> BoolArray:
    """(P, A) whether each action is on a shortest way to focus (stopping, where in focus)."""
    index = np.arange(len(distance))
    best = np.zeros((len(distance), len(steps)), np.bool_)
    for action, step in enumerate(steps):
        if step == 0:
            best[:, action] = distance == 0
            continue
        target = np.clip(index + step, 0, len(distance) - 1)
        inside = (index + step >= 0) & (index + step < len(distance))
        closer = distance[target] == distance - 1
        best[:, action] = inside & closer & (distance > 0) & (distance < UNREACHABLE)
    return best


def distinguishable(
    pictures: ByteArray, in_focus: BoolArray, steps: tuple[int, ...], max_steps: int
) -> BoolArray:
    """(P,) which starts a policy that sees only pictures could solve.

    Left out are starts whose first picture (P, h, w) is equal in every pixel to that of a start
    where no shared action is right (say, black tails on both sides of focus), and starts that even
    the shortest way does not solve within ``max_steps``, the stop counted.
    """
    distance = moves_to_focus(in_focus, steps)
    good = best_actions(distance, steps)
    solvable = distance + 1 <= max_steps
    groups: dict[bytes, list[int]] = {}
    for position, picture in enumerate(pictures):
        groups.setdefault(picture.tobytes(), []).append(position)
    for members in groups.values():
        if not good[members].all(axis=0).any():
            solvable[members] = False
    return solvable
