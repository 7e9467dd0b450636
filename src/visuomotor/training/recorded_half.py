"""The simulated half of every batch: a recording, its view shifted and its brightness varied.

What a person can do from the recording alone: nothing here knows how a rig is disturbed. Episodes
are collected once over the recorded positions; each time they are sampled, they are seen through
another variant of the recording, of which each picture's features were computed once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from visuomotor.agents import dqn
from visuomotor.configs import check_range
from visuomotor.instruments.recorded.focal_stack import FocalStack
from visuomotor.replay import ROW, Batch, Replay
from visuomotor.rollout import Rollout
from visuomotor.tasks.autofocus import AutofocusConfig
from visuomotor.training.examining import focus_env
from visuomotor.types import FloatArray, Frames, IntArray
from visuomotor.vision.transforms import thumbnails, to_gray

Extract = Callable[[Frames], NDArray[np.float32]]
FINENESS = 4
"""Pictures are shifted at up to so many pixels for one of the thumbnail's."""


@dataclass(frozen=True)
class RecordedHalfConfig:
    """How the recording is varied."""

    shift: float = 0.016
    """The view is shifted by up to this share of the picture's shorter side, each way; 0: never."""
    brightness: float = 0.005
    """And is as much brighter or darker."""
    variants: int = 200
    """How many shifted views; of a shift that leaves fewer whole pixels each is taken."""
    rows: int = 400
    cells: int = 64
    """Time steps of so many cells that are collected over it."""
    guide: float = 0.6
    epsilon: float = 0.3
    """Share of the expert's and of random actions in them; the others are the policy's."""

    def __post_init__(self) -> None:
        share, one = (0, 1), (1, 100_000)
        check_range(self, shift=(0, 0.5), brightness=share, variants=one, rows=one, cells=one)
        check_range(self, guide=share, epsilon=share)


class RecordedHalf:
    """Transitions over a recording's own positions, as features."""

    def __init__(
        self,
        stack: FocalStack,
        task: AutofocusConfig,
        policy: dqn.QPolicy,
        extract: Extract,
        config: RecordedHalfConfig,
        draws: np.random.Generator,
    ) -> None:
        """stack: cut to the region that is judged. extract: (U, h, w) pictures -> (U, D)."""
        self._positions = stack.num_positions
        self._features = _features(stack, task, extract, config, draws)
        self._replay = _collect(stack, task, policy, config, draws)

    def sample(self, draws: np.random.Generator, size: int, n_step: int, gamma: float) -> Batch:
        """``size`` transitions, each seen through one variant from its first picture to its last;
        ``frames`` are (U, D) float32."""
        batch = self._replay.sample(draws, size, n_step, gamma)
        variants = len(self._features) // self._positions
        seen = self._positions * draws.integers(0, variants, (size, 1))
        numbers = batch.frames  # what ``Numbers`` made of them
        ids = np.concatenate([numbers[batch.states] + seen, numbers[batch.next_states] + seen])
        used, index = np.unique(ids, return_inverse=True)
        index = index.reshape(ids.shape)
        features: NDArray[Any] = self._features[used]
        return batch._replace(frames=features, states=index[:size], next_states=index[size:])


class Numbers:
    """A ``frames.FrameSource`` that answers with the numbers themselves, for a replay whose
    pictures are looked up elsewhere."""

    permanent = True
    shape = (0, 0)

    def put(self, frames: NDArray[Any]) -> IntArray:
        raise TypeError("Numbers hold no pictures")

    def get(self, ids: IntArray) -> NDArray[Any]:
        return ids


def _features(
    stack: FocalStack,
    task: AutofocusConfig,
    extract: Extract,
    config: RecordedHalfConfig,
    draws: np.random.Generator,
) -> NDArray[np.float32]:
    """(variants * positions, D); the first variant is the recording as it is."""
    size, levels = task.frame_size_px, task.display_range or stack.display_range
    pictures = _fine_enough(stack.planes(np.arange(stack.num_positions)), size)
    reach = round(config.shift * min(pictures.shape[1:3]))
    border = (reach,) * 4
    wide = [cv2.copyMakeBorder(one, *border, cv2.BORDER_REPLICATE) for one in pictures]
    parts = []
    height, width = pictures.shape[1:3]
    for (down, right), gain in _variants(config, reach, draws):
        views = np.stack([one[down : down + height, right : right + width] for one in wide])
        brighter = levels[0] / gain, levels[1] / gain
        parts.append(extract(thumbnails(views, size, brighter)))
    return np.concatenate(parts)


def _fine_enough(planes: Frames, size_px: int) -> Frames:
    """Grey pictures (P, H, W), no larger than shifting them takes."""
    most = FINENESS * size_px
    if min(planes.shape[1:3]) <= most:
        return to_gray(planes)
    small = [cv2.resize(p.astype(np.float32), (most, most), interpolation=cv2.INTER_AREA)
             for p in to_gray(planes)]  # fmt: skip
    return np.stack(small)


def _variants(
    config: RecordedHalfConfig, reach: int, draws: np.random.Generator
) -> list[tuple[tuple[int, int], float]]:
    """(first row, first column) of the picture in its border, and gain; (reach, reach) is none."""
    places = [(y, x) for y in range(2 * reach + 1) for x in range(2 * reach + 1)]
    middle = places.pop(len(places) // 2)
    gains: FloatArray = 1 + draws.uniform(-config.brightness, config.brightness, config.variants)
    order = draws.permutation(len(places)) if places else np.zeros(1, np.int64)
    places = places or [middle]
    chosen = [places[order[k % len(order)]] for k in range(config.variants - 1)]
    return [(middle, 1.0), *zip(chosen, gains.tolist(), strict=False)]


def _collect(
    stack: FocalStack,
    task: AutofocusConfig,
    policy: dqn.QPolicy,
    config: RecordedHalfConfig,
    draws: np.random.Generator,
) -> Replay:
    """Episodes over the recording's positions, pictures by number of the position."""
    env, _ = focus_env(task, stack, config.cells)
    exploring = dqn.DQNConfig(
        guide=config.guide, guide_end=config.guide, epsilon=config.epsilon,
        epsilon_end=config.epsilon,
    )  # fmt: skip
    agent = dqn.Exploring(policy, exploring, len(task.steps))
    rollout = Rollout(agent, env, draws, keep_going=True, reveal=("expert",))
    rollout.reset(seed=int(draws.integers(2**31)))
    replay = Replay(Numbers(), config.rows * config.cells, config.cells, task.history)
    row = np.zeros(config.cells, ROW)
    for _ in range(config.rows):
        step = rollout.step()
        row["frame"], row["next_frame"] = step.info["frame_id"], step.next_info["frame_id"]
        row["came_by"] = step.observation["past_actions"][:, 0]
        row["action"], row["reward"] = step.action, step.reward
        row["terminated"], row["truncated"] = step.terminated, step.truncated
        row["random"], row["age"] = step.extras["random"], step.info["steps"]
        replay.add(row)
    return replay


def with_margin(task: AutofocusConfig, margin: float) -> AutofocusConfig:
    """The task with a stricter success, so that what is learned does not stop at its very edge."""
    return replace(task, success_fraction=min(1.0, task.success_fraction + margin))
