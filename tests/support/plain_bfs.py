"""Breadth-first search as a textbook has it, to check the vectorised one against."""

from __future__ import annotations

from collections import deque

import numpy as np


def distances(in_focus: np.ndarray, steps: tuple[int, ...]) -> np.ndarray:
    """(P,) moves to the nearest in-focus position, -1 where there is no way."""
    found = np.full(len(in_focus), -1)
    queue = deque(int(i) for i in np.flatnonzero(in_focus))
    found[list(queue)] = 0
    while queue:
        here = queue.popleft()
        for step in steps:
            before = here - step
            if step and 0 <= before < len(in_focus) and found[before] < 0:
                found[before] = found[here] + 1
                queue.append(before)
    return found
