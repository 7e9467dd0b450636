"""How settings change while something is learned."""

from __future__ import annotations

import math


def cosine_share(updates: int, decay_updates: int, least: float) -> float:
    """Falls from 1 along half a cosine, to ``least`` at ``decay_updates`` or before, and stays."""
    done = min(1.0, updates / decay_updates)
    return max(least, 0.5 * (1 + math.cos(math.pi * done)))


def linear_share(updates: int, until: int) -> float:
    """Falls evenly from 1 to 0 at ``until``, and stays."""
    return max(0.0, 1 - updates / until)
