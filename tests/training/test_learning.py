"""DQN learns: a toy problem to the end, and one gradient step in detail."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from toys import blur_stack, flat_stack

import visuomotor as vm
from visuomotor.agents.dqn import DQN, DQNConfig
from visuomotor.agents.targets import double_q_targets, huber_td_loss, max_q_targets
from visuomotor.configs import to_plain
from visuomotor.evaluate import evaluate, summarise
from visuomotor.models.q_networks import FrameEncoderQNetwork, QNetworkConfig
from visuomotor.replay import Batch
from visuomotor.runs import Run
from visuomotor.tasks.autofocus import AutofocusConfig, AutofocusTask
from visuomotor.training.config import TrainConfig
from visuomotor.training.examining import focus_env, prepare
from visuomotor.training.local import train

TASK = AutofocusConfig(steps=(5, 1, 0, -1, -5), frame_size_px=32)
SMALL = TrainConfig(
    task=TASK,
    agent=DQNConfig(batch=256, decay_updates=1500),
    positions=31,
    cells=32,
    steps=30_000,
    patience=2,
    threads=1,
)


@pytest.mark.parametrize("guided", [True, False])
def test_dqn_solves_a_small_stack(tmp_path, guided: bool) -> None:
    guide = 0.5 if guided else 0.0
    agent = DQNConfig(batch=256, decay_updates=1500, guide=guide, guide_end=guide / 5)
    config = TrainConfig(**{**vars(SMALL), "agent": agent})
    stack = blur_stack()
    run = Run.create(tmp_path, "toy", to_plain(config))
    standing = train(config, prepare(stack, config), run, lambda metrics: None)
    assert standing.best_accuracy == 1.0
    policy = vm.load_policy(run.path)
    env, _ = focus_env(TASK, stack, 31)
    summary = summarise(evaluate(policy, env, starts=stack.positions))
    assert summary.accuracy == 1.0, "what was saved is what was measured"
    assert summary.mean_steps == pytest.approx(standing.best_mean_steps)
    result = vm.focus(stack.instrument(start=29.0), policy)
    assert result.verdict is vm.Verdict.FOCUSED


def test_a_stack_with_nothing_to_learn_is_refused_before_anything_is_written() -> None:
    with pytest.raises(vm.InputError, match="no_sample"):
        prepare(flat_stack(), SMALL)


def test_too_few_steps_to_reach_focus_from_anywhere() -> None:
    far = TrainConfig(task=AutofocusConfig(max_steps=1, success_fraction=1.0), positions=31)
    with pytest.raises(vm.InputError, match="within 1 steps"):
        prepare(blur_stack(), far)


def test_interpolated_stacks_are_labelled() -> None:
    stack = prepare(blur_stack(), TrainConfig())
    assert (stack.num_positions, stack.interpolated_from) == (131, 31)


# -- one gradient step --------------------------------------------------------------------------


def batch(size: int = 8) -> Batch:
    random = np.random.default_rng(0)
    return Batch(
        frames=random.integers(0, 255, (6, 32, 32), dtype=np.uint8),
        states=random.integers(0, 6, (size, 3)),
        past_actions=random.integers(0, 6, (size, 3)),
        next_states=random.integers(0, 6, (size, 3)),
        next_past_actions=random.integers(0, 6, (size, 3)),
        action=random.integers(0, 5, size),
        reward=random.normal(size=size).astype(np.float32) * 100,
        discount=np.full(size, 0.9, np.float32),
    )


def learner(seed: int = 0, **changes) -> DQN:
    return DQN(AutofocusTask(TASK).spec, DQNConfig(precision="fp32", **changes), seed)


def test_updates_bring_q_to_its_targets() -> None:
    dqn, samples = learner(), batch()
    targets = dqn.targets(samples)
    losses = [dqn.update(samples, targets)["loss"] for _ in range(150)]
    assert losses[-1] < 0.02 * losses[0]


def test_same_seed_same_weights_and_the_global_seed_is_left_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    one, two, other = learner(1), learner(1), learner(2)
    assert torch.rand(1) == expected
    weights = [x.online.state_dict()["value.weight"] for x in (one, two, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_state_round_trip_continues_exactly() -> None:
    one, two = learner(1), learner(2)
    for _ in range(3):
        one.update(batch(), one.targets(batch()))
    two.load_state_dict(one.state_dict())
    for dqn in (one, two):
        for _ in range(3):
            dqn.update(batch(), dqn.targets(batch()))
    for name, value in one.online.state_dict().items():
        assert torch.equal(value, two.online.state_dict()[name]), name


def test_targets_follow_their_equations() -> None:
    online = torch.tensor([[1.0, 3.0], [5.0, 2.0]])
    target = torch.tensor([[10.0, 20.0], [30.0, 40.0]])
    reward, discount = torch.tensor([1.0, 2.0]), torch.tensor([0.5, 0.0])
    double = double_q_targets(reward, discount, online, target)
    assert double.tolist() == [1 + 0.5 * 20, 2.0]
    assert max_q_targets(reward, discount, target).tolist() == [1 + 0.5 * 20, 2.0]
    online = online.flip(1)
    assert double_q_targets(reward, discount, online, target)[0] == 1 + 0.5 * 10
    loss = huber_td_loss(online, torch.tensor([0, 1]), torch.tensor([3.0, 5.5]))
    assert loss == pytest.approx(0.5 * 0.5**2 / 2)


def test_sharing_pictures_changes_nothing() -> None:
    network = FrameEncoderQNetwork(32, 3, 5, QNetworkConfig())
    samples = batch()
    past = torch.from_numpy(samples.past_actions)
    shared = network(torch.from_numpy(samples.frames), torch.from_numpy(samples.states), past)
    own = torch.from_numpy(samples.frames[samples.states].reshape(-1, 32, 32))
    each = network(own, torch.arange(24).reshape(8, 3), past)
    torch.testing.assert_close(shared, each)
