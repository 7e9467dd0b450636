"""Training for generality: one policy for samples, microscopes and cameras it never saw.

Views are rendered once (``simulated_views``); episodes run on them in contrast space
(``contrast_world``) under the policy as it is learned, so that it sees the states it comes to; what
the simulator knows of each state is what it learns from (``agents.guided_q``). ``train_general``
can be killed at any moment and called again on the same run folder.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from visuomotor.agents.guided_q import NAME, Guidance, GuidedPolicy, GuidedQ, GuidedQConfig
from visuomotor.checkpoint import save_policy
from visuomotor.configs import check_range, to_plain
from visuomotor.errors import InputError
from visuomotor.files import load_state, save_state, write_atomically
from visuomotor.runs import Run
from visuomotor.tasks.autofocus import AutofocusConfig, AutofocusTask
from visuomotor.training.contrast_world import ContrastWorld, WorldConfig
from visuomotor.training.simulated_views import Views, ViewsConfig, render_views
from visuomotor.vision.contrast import SIZE

Progress = Callable[[dict[str, Any]], None]
TASK = AutofocusConfig(
    observation=("contrast", "past_moves", "explored"),
    at_limits="clip",
    history=16,
    max_steps=40,
)
MULTISCALE_STEPS = tuple(
    sign * step for step in (480, 220, 100, 45, 20, 9, 4, 2, 1) for sign in (1, -1)
)
KIND = "general training run"


@dataclass(frozen=True)
class GeneralConfig:
    """One training run. A row is one time step of all cells."""

    task: AutofocusConfig = TASK
    agent: GuidedQConfig = field(default_factory=GuidedQConfig)
    views: ViewsConfig = field(default_factory=ViewsConfig)
    world: WorldConfig = field(default_factory=WorldConfig)
    tested_views: int = 200
    """Views of their own to evaluate on."""
    cells: int = 256
    rows: int = 8_000
    warmup_rows: int = 50
    updates_per_row: int = 2
    kept_rows: int = 800
    """The newest rows, from which batches are drawn."""
    lookahead: int = 4
    """Moves after which an action is judged by where they led."""
    most_looks: int = 30
    """Training episodes are cut after so many: wandering where nothing shows teaches little."""
    guided: float = 0.3
    """Share of episodes in which the omniscient searcher often acts; falls to none midway."""
    random: float = 0.05
    """Share of actions taken by chance."""
    evaluate_every: int = 2_000
    seed: int = 0
    threads: int = 1
    """More hardly help networks as small as this."""

    def __post_init__(self) -> None:
        one, zero, share = (1, math.inf), (0, math.inf), (0, 1)
        check_range(self, tested_views=one, cells=(1, 100_000), rows=one, warmup_rows=one)
        check_range(
            self,
            most_looks=(2, 10_000),
            updates_per_row=one,
            lookahead=(1, 100),
            kept_rows=one,
            guided=share,
            random=share,
        )
        check_range(self, evaluate_every=one, seed=zero, threads=(0, 1024))
        if self.lookahead >= min(self.warmup_rows, self.kept_rows):
            raise InputError(
                f"lookahead: expected less than warmup_rows ({self.warmup_rows}) and kept_rows "
                f"({self.kept_rows}), got {self.lookahead}"
            )


PRESETS = {
    "focus": GeneralConfig(),
    "focus-multiscale": GeneralConfig(
        task=replace(TASK, steps=(*MULTISCALE_STEPS, 0)),
        world=WorldConfig(range_steps=(20.0, 1200.0)),
    ),
}
"""The shipped policies: yu2018's five actions, and steps of several scales for wide ranges."""


class Standing(NamedTuple):
    """How a policy does on views that it is not trained on."""

    success: float
    looks: float
    stopped: float


class _Experience:
    """The newest rows of states and guidance."""

    def __init__(self, rows: int, cells: int, history: int, actions: int) -> None:
        self.contrast = torch.zeros(rows, cells, history, SIZE)
        self.moves = torch.zeros(rows, cells, history)
        self.explored = torch.zeros(rows, cells, 4)
        self.action = torch.zeros(rows, cells, dtype=torch.long)
        self.value = torch.zeros(rows, cells)
        self.moved = torch.zeros(rows, cells, dtype=torch.bool)
        self.own = torch.zeros(rows, cells, dtype=torch.bool)
        self.moves_after = torch.zeros(rows, cells, actions, dtype=torch.int16)
        self.in_focus = torch.zeros(rows, cells, dtype=torch.bool)
        self.distance = torch.zeros(rows, cells)

    def put(self, row: int, **columns: Tensor) -> None:
        at = row % len(self.moves)
        for name, value in columns.items():
            getattr(self, name)[at] = value

    def sample(
        self, rows: int, size: int, lookahead: int, cost: float, draws: torch.Generator
    ) -> Guidance:
        """``size`` states of the rows there are, ``rows`` having been put; each look costs."""
        kept = len(self.moves)
        back = torch.randint(lookahead, min(rows, kept), (size,), generator=draws)
        row = rows - 1 - back
        cell = torch.randint(self.moves.shape[1], (size,), generator=draws)
        here = row % kept, cell
        # Judged where the policy's own moves led, up to ``lookahead`` of them.
        ahead = torch.ones_like(row)
        going = torch.ones(size, dtype=torch.bool)
        for _ in range(lookahead - 1):
            there = (row + ahead) % kept, cell
            going = going & self.moved[there] & self.own[there]
            ahead = ahead + going.long()
        outcome = self.value[(row + ahead) % kept, cell] - cost * ahead
        outcome = torch.where(self.moved[here], outcome, math.nan)
        found = {name: getattr(self, name)[here] for name in Guidance._fields if name != "outcome"}
        return Guidance(outcome=outcome, **found)


class _Episodes:
    """Cells of a world and what each has seen."""

    def __init__(self, world: ContrastWorld, history: int) -> None:
        self.world = world
        self.everywhere = torch.arange(world.cells)
        self._sides = torch.tensor([1.0, -1.0])
        self.contrast = torch.zeros(world.cells, history, SIZE)
        self.moves = torch.zeros(world.cells, history)
        self.explored = torch.zeros(world.cells, 4)
        self.looks = torch.zeros(world.cells, dtype=torch.long)
        self.guided = torch.zeros(world.cells, dtype=torch.bool)
        self.open(self.everywhere)

    def open(self, cells: Tensor) -> None:
        """The first look fills the whole history."""
        self.contrast[cells] = self.world.look(cells)[:, None]
        self.moves[cells] = 0
        self.explored[cells] = 0
        self.looks[cells] = 1

    def go(self, cells: Tensor, action: Tensor) -> None:
        self.looks[cells] += 1
        moved, too_far = self.world.move(cells, action)
        reach = self.explored[cells, :2] + moved[:, None] * self._sides
        ends = self.explored[cells, 2:].maximum((too_far[:, None] == -self._sides).float())
        self.explored[cells] = torch.cat([reach.clamp_min(0), ends], 1)
        self.moves[cells] = torch.cat([moved[:, None], self.moves[cells, :-1]], 1)
        seen = self.world.look(cells)[:, None]
        self.contrast[cells] = torch.cat([seen, self.contrast[cells, :-1]], 1)

    def act(self, policy: GuidedPolicy) -> tuple[Tensor, Tensor]:
        """(B,) the policy's actions, and (B,) what they are worth to it."""
        observation = {
            "contrast": self.contrast.numpy(),
            "past_moves": self.moves.numpy(),
            "explored": self.explored.numpy(),
        }
        # As at the first look: what a wrong end costs is the same for all that is learned from.
        looks = np.zeros(self.world.cells, np.int64)
        act = policy.act(observation, looks, np.random.default_rng(0))  # has no chance
        return torch.from_numpy(act.action), torch.from_numpy(act.extras["q"]).amax(1)

    def guidance(self) -> dict[str, Tensor]:
        """What is seen, and what the simulator knows of it."""
        everywhere, world = self.everywhere, self.world
        return {
            "contrast": self.contrast,
            "moves": self.moves,
            "explored": self.explored,
            "moves_after": world.moves_after(everywhere),
            "in_focus": world.in_focus(everywhere),
            "distance": world.distance(everywhere),
        }


def train_general(config: GeneralConfig, run: Run, progress: Progress) -> Standing:
    """Train a policy, or go on with a run cut short. It is always in ``run.policy_file``."""
    if config.threads:
        torch.set_num_threads(config.threads)
    views, tested, rendering_s = _views(config, run)
    clock = time.perf_counter() - rendering_s
    steps, history = config.task.steps, config.task.history
    learner = GuidedQ(AutofocusTask(config.task).spec, config.agent, config.seed)
    episodes = _Episodes(
        ContrastWorld(views, config.world, steps, config.cells, config.seed), history
    )
    experience = _Experience(config.kept_rows, config.cells, history, len(steps))
    draws = torch.Generator().manual_seed(config.seed)
    row = 0
    if run.trainer_file.exists():
        state = _load(run)
        learner.load_state_dict(state["learner"])
        episodes.world.load_state_dict(state["world"])
        vars(episodes).update(state["episodes"])
        vars(experience).update(state["experience"])
        draws.set_state(state["draws"])
        row, clock = int(state["row"]), clock - float(state["seconds"])
    losses: dict[str, float] = {}
    standing = Standing(0.0, math.inf, 0.0)
    with closing(run):
        while row < config.rows:
            _collect(config, episodes, experience, learner, draws, row)
            row += 1
            if row >= config.warmup_rows:
                for _ in range(config.updates_per_row):
                    batch = experience.sample(
                        row, config.agent.batch, config.lookahead, config.agent.cost, draws
                    )
                    losses = learner.update(batch, learner.targets(batch))
            if row % config.evaluate_every == 0 or row == config.rows:
                standing = examine(learner.policy(), config, tested)
                seconds = time.perf_counter() - clock
                metrics = {"step": row * config.cells, **standing._asdict(), **losses}
                run.log({**metrics, "seconds": seconds})
                _save_policy(run, learner, config, standing, row)
                save_state(
                    run.trainer_file,
                    {
                        "kind": KIND,
                        "learner": learner.state_dict(),
                        "world": episodes.world.state_dict(),
                        "episodes": _plain(episodes),
                        "experience": vars(experience),
                        "draws": draws.get_state(),
                        "row": row,
                        "seconds": seconds,
                    },
                )
                progress({**metrics, "seconds": seconds})
        final = json.dumps(standing._asdict(), indent=2)
        write_atomically(run.path / "final.json", final.encode())
    return standing


def examine(
    policy: GuidedPolicy, config: GeneralConfig, views: Views, cells: int = 1000
) -> Standing:
    """Episodes on views (usually not those trained on), in worlds like those of training but with
    something to see: the same ones for every policy."""
    plain = replace(config.world, blank=0.0, outside=0.0, new_view=1.0)
    episodes = _Episodes(
        ContrastWorld(views, plain, config.task.steps, cells, config.seed + 1), config.task.history
    )
    world = episodes.world
    going = torch.ones(cells, dtype=torch.bool)
    success, looks = torch.zeros(cells, dtype=torch.bool), torch.ones(cells)
    for _ in range(config.task.max_steps):
        action, _ = episodes.act(policy)
        stopped = (action == world.stop) & going
        success |= stopped & world.in_focus(episodes.everywhere)
        going &= ~stopped
        moving = torch.where(going)[0]
        if not len(moving):
            break
        looks[moving] += 1
        episodes.go(moving, action[moving])
    return Standing(*(float(x.float().mean()) for x in (success, looks, ~going)))


def _collect(
    config: GeneralConfig,
    episodes: _Episodes,
    experience: _Experience,
    learner: GuidedQ,
    draws: torch.Generator,
    row: int,
) -> None:
    """One row: note what is known, act, and begin anew where an episode is over."""
    world = episodes.world
    own, value = episodes.act(learner.policy())
    known = episodes.guidance()
    expert = world.expert(episodes.everywhere)
    chance = torch.rand(2, config.cells, generator=draws)
    action = torch.where(episodes.guided & (chance[0] < 0.8), expert, own)
    anything = torch.randint(len(config.task.steps), (config.cells,), generator=draws)
    action = torch.where(chance[1] < config.random, anything, action)
    over = (action == world.stop) | (episodes.looks >= config.most_looks)
    known |= {"action": action, "value": value, "moved": ~over, "own": action == own}
    experience.put(row, **known)
    moving, ended = torch.where(~over)[0], torch.where(over)[0]
    episodes.go(moving, action[moving])
    if len(ended):
        world.reset(ended)
        episodes.open(ended)
        share = config.guided * max(0.0, 1 - 2 * row / config.rows)
        episodes.guided[ended] = torch.rand(len(ended), generator=draws) < share


def _views(config: GeneralConfig, run: Run) -> tuple[Views, Views, float]:
    """To train on and to test on, and the seconds it took: rendered at the first sitting, kept in
    the run's folder."""
    file = run.path / "views.safetensors"
    if not file.exists():
        clock = time.perf_counter()
        tested = replace(
            config.views, count=config.tested_views, slides=0, seed=config.views.seed + 1
        )
        made = {"train": render_views(config.views)._asdict()}
        made["test"] = render_views(tested)._asdict()
        save_state(file, {"kind": "views", "seconds": time.perf_counter() - clock, **made})
    state = load_state(file)
    return Views(**state["train"]), Views(**state["test"]), float(state["seconds"])


def _load(run: Run) -> dict[str, Any]:
    state = load_state(run.trainer_file)
    if state.get("kind") != KIND:
        raise InputError(f"{run.trainer_file}: expected a {KIND}, got a {state.get('kind')}")
    return state


def _plain(episodes: _Episodes) -> dict[str, Any]:
    kept = ("contrast", "moves", "explored", "looks", "guided")
    return {name: getattr(episodes, name) for name in kept}


def _save_policy(
    run: Run, learner: GuidedQ, config: GeneralConfig, standing: Standing, row: int
) -> None:
    origin = {
        **run.provenance(),
        "seed": config.seed,
        "views": config.views.count,
        "time_steps": row * config.cells,
        **standing._asdict(),
    }
    agent = to_plain(learner.config)
    save_policy(run.policy_file, learner.spec, NAME, agent, learner.weights(), origin)
