"""Fine-tuning a policy on the rig it is to work on: yu2018, section IV.C.

A policy that was trained on a recording meets a rig whose knob slips and whose view has shifted.
It is trained on, first on the recording, varied (``recorded_half``), then more and more on the rig
itself (``rig_half``), up to half of every batch, with several gradient steps to each real step, as
Ball et al. 2023 ("Efficient online reinforcement learning with offline data", RLPD) do;
conservatively: the convolutions stay (``agents.tail_dqn``). ``adapt`` can be killed at any moment
and called again on the same folder: the episode log is the truth, no real step is done twice.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from visuomotor.agents import dqn
from visuomotor.agents.tail_dqn import TailDQN, TailDQNConfig
from visuomotor.checkpoint import Checkpoint, save_policy
from visuomotor.configs import check_range, from_plain, to_plain
from visuomotor.env import VisuomotorEnv
from visuomotor.episode_log import EpisodeLog
from visuomotor.errors import InputError
from visuomotor.files import load_state, save_state, write_atomically
from visuomotor.instruments.disturbances import DisturbanceConfig, Disturbed
from visuomotor.instruments.protocols import (
    ChoosesReading,
    FiniteCamera,
    FocusInstrument,
    HasFocusTruth,
)
from visuomotor.instruments.recorded.focal_stack import FocalStack
from visuomotor.replay import ROW, Batch
from visuomotor.runs import Run
from visuomotor.tasks import autofocus
from visuomotor.tasks.autofocus import AutofocusConfig, AutofocusTask
from visuomotor.tasks.focus_fit import check_instrument
from visuomotor.training.recorded_half import RecordedHalf, RecordedHalfConfig, with_margin
from visuomotor.training.rig_half import RigHalf
from visuomotor.types import ROI, Frames

Progress = Callable[[dict[str, Any]], None]
KIND = "adapting run"


@dataclass(frozen=True)
class AdaptConfig:
    """One fine-tuning on one rig."""

    agent: TailDQNConfig = field(default_factory=TailDQNConfig)
    recorded: RecordedHalfConfig = field(default_factory=RecordedHalfConfig)
    real_steps: int = 1_000
    """At most so many actions on the rig, the stops included, those of checks not."""
    batch: int = 1024
    """Transitions a gradient step."""
    half_real_at: int = 1_000
    """Real steps from which on half of a batch is real; after fewer, so much less of it: a few
    transitions that are seen again and again would be learned by heart."""
    warmup_updates: int = 2_000
    """Gradient steps on the recording alone, before the first real step."""
    updates_per_step: int = 4
    """Gradient steps for each real step."""
    epsilon: float = 0.05
    """Probability of a random action on the rig while training."""
    margin: float = 0.0
    """Added to the task's success fraction in the rewards: what is learned keeps off its edge."""
    check_every: int = 100
    """Real steps between checks on the rig; one is made before the first, too."""
    check_starts: int = 100
    """Fresh starts of a check."""
    patience: int = 1
    """Stop once this many further checks in a row after one without failure are without, too."""
    seed: int = 0
    threads: int = 0
    """Of PyTorch; 0 leaves its default."""

    def __post_init__(self) -> None:
        one, zero, share = (1, math.inf), (0, math.inf), (0, 1)
        check_range(self, real_steps=(1, 1e6), batch=(2, 1e6), warmup_updates=zero, epsilon=share)
        check_range(self, half_real_at=one)
        check_range(self, updates_per_step=zero, margin=share, check_every=one, check_starts=one)
        check_range(self, patience=zero, seed=zero, threads=(0, 1024))


@dataclass
class Standing:
    """How far it has come; saved with the run."""

    real_steps: int = 0
    """Actions on the rig in training."""
    checks: int = 0
    checked_at: int = -1
    """Real steps at the last check."""
    evaluation_steps: int = 0
    """Actions on the rig in checks; of one that was cut short and made again they count once."""
    perfect_in_a_row: int = 0
    success: float = 0.0
    """Of the last check."""
    best_success: float = -1.0
    seconds: float = 0.0
    """Over all sittings."""


def adapt(
    config: AdaptConfig,
    policy: Checkpoint,
    instrument: Any,
    stack: FocalStack,
    run: Run,
    progress: Progress,
) -> Standing:
    """Fine-tune a DQN policy on an instrument of one cell, or go on with a run that was cut short.

    stack: the recording that the policy was trained on; its maximum is what sharpness on the rig is
    relative to. ``progress`` is called with the metrics of every check. The best policy so far is
    always in ``run.policy_file``. InputError for what does not fit together, before anything moves.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    greedy = check_fit(policy, instrument, stack)
    # Of a recording pictures are taken, as on any rig. A closed rig is not asked for its camera.
    camera = instrument.camera
    if isinstance(instrument, HasFocusTruth) and isinstance(camera, FiniteCamera):
        instrument = Disturbed(instrument, DisturbanceConfig(), config.seed)
    with instrument, closing(run):
        task = _task(greedy, instrument)
        env = VisuomotorEnv(instrument, task)
        recording = _recording(stack, task, instrument)
        kept = autofocus.for_view(
            greedy.spec, task.fine_step, stack.unit,
            task.config.display_range or recording.display_range,
        )  # fmt: skip
        learner = TailDQN(dqn.QPolicy(kept, greedy.network), config.agent)
        with closing(EpisodeLog(run.log_file, ROW, 1)) as log:
            halves = _Halves(config, greedy, env, recording, learner, log)
            sitting = _Sitting(config, learner, halves, run, policy)
            return sitting.go_on(progress)


def check_fit(policy: Checkpoint, instrument: Any, stack: FocalStack) -> dqn.QPolicy:
    """The policy, if it is one that can be adapted to this instrument; InputError if not."""
    greedy = policy.policy
    if policy.agent != dqn.NAME or not isinstance(greedy, dqn.QPolicy):
        raise InputError(f"adapt: expected a {dqn.NAME} policy, got one of {policy.agent!r}")
    if greedy.spec.task != autofocus.NAME:
        raise InputError(
            f"adapt: expected a policy for {autofocus.NAME}, got one for {greedy.spec.task!r}"
        )
    TailDQN(greedy, TailDQNConfig())  # refuses a network that it cannot fine-tune
    check_instrument(instrument)
    if instrument.num_cells != 1:
        raise InputError(f"adapt: expected an instrument of one cell, got {instrument.num_cells}")
    learned, unit = greedy.spec.config.get("fine_step_unit"), instrument.focus.unit
    for what, other in (("policy", learned or unit), ("recording", stack.unit)):
        if other != unit:
            raise InputError(
                f"adapt: expected policy, recording and instrument to count in one unit; the "
                f"instrument's is {unit}, the {what}'s {other}"
            )
    (low, high), slack = instrument.focus.limits, instrument.fine_step
    first, last = float(stack.positions[0]), float(stack.positions[-1])
    if low < first - slack or high > last + slack:
        raise InputError(
            f"adapt: expected a recording of all of the instrument's range, {low:g} to {high:g} "
            f"{unit}, got one from {first:g} to {last:g}"
        )
    return greedy


def _task(policy: dqn.QPolicy, instrument: FocusInstrument) -> AutofocusTask:
    """As on any rig: the truth is not asked for, devices are watched."""
    config = from_plain(AutofocusConfig, policy.spec.config, "policy")
    if isinstance(instrument, ChoosesReading):
        config = from_plain(AutofocusConfig, instrument.reading, "rig", config)
    task = AutofocusTask(config, for_a_person=True)
    task.bind(instrument)
    return task


def _recording(stack: FocalStack, task: AutofocusTask, instrument: FocusInstrument) -> FocalStack:
    """The stack over the range of the instrument, in fine steps, cut to what is judged."""
    low, high = instrument.focus.limits
    stack = stack.between(low - task.fine_step / 2, high + task.fine_step / 2)
    if instrument.roi is not None:
        levels = stack.display_range
        frames: Frames = ROI(*instrument.roi).crop(stack.frames)
        stack = FocalStack(frames, stack.positions, stack.unit, stack.name, levels)
    count = round(float(stack.positions[-1] - stack.positions[0]) / task.fine_step) + 1
    return stack if count == stack.num_positions and stack.is_even else stack.resample(count)


class _Halves:
    """Where batches come from."""

    def __init__(
        self,
        config: AdaptConfig,
        policy: dqn.QPolicy,
        env: VisuomotorEnv,
        recording: FocalStack,
        learner: TailDQN,
        log: EpisodeLog,
    ) -> None:
        def extract(frames: Frames) -> NDArray[np.float32]:
            features: NDArray[np.float32] = learner.target.features(
                torch.from_numpy(frames)
            ).numpy()
            return features

        assert isinstance(env.task, AutofocusTask)
        task = env.task
        draws = np.random.default_rng([config.seed, 0])
        varied = with_margin(task.config, config.margin)
        self._agent, self._batch = config.agent, config.batch
        self._half_real_at = config.half_real_at
        self.recorded = RecordedHalf(recording, varied, policy, extract, config.recorded, draws)
        maximum = recording.curve(task.measure).maximum
        self.rig = RigHalf(env, maximum, config.margin, log, config.real_steps, extract)
        self.rig.refill()

    def batch(self, draws: np.random.Generator) -> Batch:
        """Up to half of it real."""
        how = self._agent.n_step, self._agent.gamma
        share = min(1.0, self.rig.steps / self._half_real_at)
        real = int(share * self._batch / 2)
        recorded = self.recorded.sample(draws, self._batch - real, *how)
        return _joined(recorded, self.rig.sample(draws, real, *how)) if real else recorded


def _joined(one: Batch, other: Batch) -> Batch:
    """Both batches as one."""
    beyond = len(one.frames)
    other = other._replace(states=other.states + beyond, next_states=other.next_states + beyond)
    pairs: list[tuple[NDArray[Any], NDArray[Any]]] = list(zip(one, other, strict=True))
    return Batch(*(np.concatenate(pair) for pair in pairs))


class _Sitting:
    """The loop, from a fresh run or from where it was cut short."""

    def __init__(
        self, config: AdaptConfig, learner: TailDQN, halves: _Halves, run: Run, base: Checkpoint
    ) -> None:
        self._config, self._learner, self._halves = config, learner, halves
        self._run, self._base = run, base
        self.standing = Standing()
        if run.trainer_file.exists():
            self._load()
        done = halves.rig.steps
        # What was drawn before a kill is in the log; another sitting draws something else.
        self._draws, self._acting = (
            np.random.default_rng([config.seed, kind, done]) for kind in (1, 2)
        )
        act = dqn.DQNConfig(
            guide=0, guide_end=0, epsilon=config.epsilon, epsilon_end=config.epsilon
        )
        actions = len(learner.spec.config["steps"])
        self._exploring = dqn.Exploring(learner.policy(), act, actions)
        self._clock = time.perf_counter() - self.standing.seconds
        self._costs: list[float] = []

    def go_on(self, progress: Progress) -> Standing:
        c, s, rig = self._config, self.standing, self._halves.rig
        while True:
            self._learn(c.warmup_updates + rig.steps * c.updates_per_step)
            over = rig.steps >= c.real_steps
            if rig.between_episodes or over:
                due = s.checked_at < 0 or rig.steps >= s.checked_at + c.check_every
                if due or (over and s.checked_at < rig.steps):
                    progress(self._check())
            if over or s.perfect_in_a_row > c.patience:
                break
            rig.step(self._exploring, self._acting)
            s.real_steps = rig.steps
        final = {key: value for key, value in asdict(s).items() if key != "seconds"}
        write_atomically(self._run.path / "final.json", json.dumps(final, indent=2).encode())
        return s

    def _learn(self, updates: int) -> None:
        """Gradient steps until there were so many in all."""
        costs = []
        while self._learner.updates < updates:
            batch = self._halves.batch(self._draws)
            costs.append(self._learner.update(batch, self._learner.targets(batch))["loss"])
        if costs:
            self._costs.append(float(np.mean(costs)))

    def _check(self) -> dict[str, Any]:
        """Fresh starts on the rig; the policy is kept if none was better, and all is saved."""
        c, s, rig = self._config, self.standing, self._halves.rig
        draws = np.random.default_rng([c.seed, 3, s.checks])
        found = rig.check(self._learner.policy(), c.check_starts, draws)
        s.real_steps = s.checked_at = rig.steps
        s.checks += 1
        s.evaluation_steps += found.steps
        s.success = found.success
        s.perfect_in_a_row = s.perfect_in_a_row + 1 if found.success == 1.0 else 0
        s.seconds = time.perf_counter() - self._clock
        if found.success >= s.best_success:
            s.best_success = found.success
            self._keep()
        metrics = {
            "step": rig.steps,
            "accuracy": found.success,
            "serious": found.serious,
            "mean_steps": found.mean_steps,
            "starts": c.check_starts,
            "evaluation_steps": s.evaluation_steps,
            "best_look": rig.best_look,
            "updates": self._learner.updates,
            "loss": self._costs[-1] if self._costs else 0.0,
            "costs": self._costs,
            "seconds": s.seconds,
        }
        self._costs = []
        self._run.log(metrics)
        state = {"kind": KIND, "learner": self._learner.state_dict(), "standing": to_plain(s)}
        save_state(self._run.trainer_file, state | {"standing": asdict(s)})
        return metrics

    def _keep(self) -> None:
        """The policy as it is now, with where it comes from."""
        s, learner = self.standing, self._learner
        origin = {
            **self._run.provenance(),
            "seed": self._config.seed,
            "adapted_from": self._base.provenance,
            "real_steps": s.real_steps,
            "evaluation_steps": s.evaluation_steps,
            "success": s.success,
            "starts": self._config.check_starts,
        }
        config = to_plain(dqn.DQNConfig(network=learner.network_config))
        weights = learner.weights()
        save_policy(self._run.policy_file, learner.spec, dqn.NAME, config, weights, origin)

    def _load(self) -> None:
        file = self._run.trainer_file
        state = load_state(file)
        if state.get("kind") != KIND:
            raise InputError(f"{file}: expected an {KIND}, got a {state.get('kind')}")
        self._learner.load_state_dict(state["learner"])
        self.standing = Standing(**state["standing"])
        if self.standing.checked_at > self._halves.rig.steps:
            raise InputError(
                f"{self._run.log_file}: expected at least the {self.standing.checked_at} real "
                f"steps of the checkpoint, got {self._halves.rig.steps}: the log was cut or damaged"
            )
