"""Preset ``paper``: the network of yu2018 as far as the text tells, its loss and exploration."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from toys import blur_stack

import visuomotor as vm
from visuomotor.agents.dqn import DQN, Exploring
from visuomotor.agents.targets import squared_td_loss
from visuomotor.configs import to_plain
from visuomotor.models.yu2018_network import Yu2018QNetwork
from visuomotor.replay import Batch
from visuomotor.runs import Run
from visuomotor.tasks.autofocus import PRESETS, AutofocusConfig, AutofocusTask
from visuomotor.training.config import train_config
from visuomotor.training.examining import prepare
from visuomotor.training.local import train

PAPER = train_config({}, "test", "paper")
PARAMETERS, MULTIPLY_ACCUMULATES = 381_000, 13_800_000
TOY = AutofocusConfig(steps=(5, 1, 0, -1, -5), frame_size_px=32)


def multiply_accumulates(network: Yu2018QNetwork) -> int:
    """Of one state, counted while it runs."""
    counted = []

    def count(module: nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor) -> None:
        if isinstance(module, nn.Conv2d):
            counted.append(output[0].numel() * module.weight[0].numel())
        if isinstance(module, nn.Linear):
            counted.append(module.weight.numel())

    for module in network.modules():
        module.register_forward_hook(count)
    none = torch.zeros(1, 3, dtype=torch.long)
    network.eval()(torch.zeros(1, 84, 84, dtype=torch.uint8), none, none)
    return sum(counted)


def test_its_size_is_the_papers_within_two_percent() -> None:
    network = Yu2018QNetwork(84, 3, 5)
    parameters = sum(weight.numel() for weight in network.parameters())
    assert parameters == pytest.approx(PARAMETERS, rel=0.02)
    assert multiply_accumulates(network) == pytest.approx(MULTIPLY_ACCUMULATES, rel=0.02)


def test_its_layers_are_the_papers() -> None:
    network = Yu2018QNetwork(84, 3, 5)
    kinds = [type(layer) for layer in network.images]
    for kind in (nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.MaxPool2d):
        assert kinds.count(kind) == 4
    hidden = [layer.out_features for layer in network.trunk if isinstance(layer, nn.Linear)]
    assert hidden == [256, 256, 5]
    # The actions' vector is as long as the image's, and they meet side by side.
    assert network.trunk[0].in_features == 2 * network.acts.out_features


def test_pictures_too_small_to_halve_five_times_are_refused() -> None:
    with pytest.raises(vm.InputError, match="frame_size_px: expected at least 32"):
        Yu2018QNetwork(24, 3, 5)


def test_pooling_before_relu_changes_nothing() -> None:
    values = torch.randn(2, 3, 8, 8)
    relu, pool = nn.ReLU(), nn.MaxPool2d(2)
    assert torch.equal(relu(pool(values)), pool(relu(values)))


def test_the_preset_is_what_is_known_of_the_paper() -> None:
    agent = PAPER.agent
    assert PAPER.task == PRESETS["paper"]
    assert (PAPER.cells, PAPER.updates_per_row, PAPER.replay_steps) == (1, 1, 500)
    assert (PAPER.steps, PAPER.evaluate_every) == (100_000, 1_000)
    assert PAPER.patience * PAPER.evaluate_every >= PAPER.steps  # it runs to its end
    assert (agent.batch, agent.learning_rate, agent.gamma, agent.n_step) == (32, 1e-3, 0.99, 1)
    assert (agent.loss, agent.double, agent.guide, agent.guide_end) == ("squared", False, 0, 0)
    assert (agent.epsilon, agent.epsilon_end) == (0.01, 0.001)


def test_the_squared_loss_is_equation_3() -> None:
    q = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    loss = squared_td_loss(q, torch.tensor([0, 1]), torch.tensor([2.0, 1.0]))
    assert loss == pytest.approx(((1 - 2) ** 2 + (4 - 1) ** 2) / 2)


def paper_learner(seed: int = 0) -> DQN:
    return DQN(AutofocusTask(TOY).spec, PAPER.agent, seed)


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
        discount=np.full(size, 0.99, np.float32),
    )


def test_what_batches_are_normalised_by_follows_with_the_weights() -> None:
    dqn = DQN(AutofocusTask(TOY).spec, replace(PAPER.agent, target_rate=0.25), 0)
    before = {name: value.clone() for name, value in dqn.target.named_buffers()}
    dqn.update(batch(), dqn.targets(batch()))
    online = dict(dqn.online.named_buffers())
    means = [name for name in online if name.endswith("running_mean")]
    assert len(means) == 4
    for name in means:
        expected = before[name] + 0.25 * (online[name] - before[name])
        torch.testing.assert_close(dict(dqn.target.named_buffers())[name], expected)


def test_the_target_network_follows_as_often_as_it_is_told() -> None:
    agent = replace(PAPER.agent, target_every=3, target_rate=1.0)
    dqn = DQN(AutofocusTask(TOY).spec, agent, 0)
    equal = []
    for _ in range(6):
        dqn.update(batch(), dqn.targets(batch()))
        pairs = zip(dqn.online.parameters(), dqn.target.parameters(), strict=True)
        equal.append(all(torch.equal(quick, slow) for quick, slow in pairs))
    assert equal == [False, False, True, False, False, True]


def test_a_decision_does_not_depend_on_the_others_in_the_batch() -> None:
    dqn = paper_learner()
    dqn.update(batch(), dqn.targets(batch()))  # leaves the network in training mode
    random = np.random.default_rng(1)
    seen = {
        "frames": random.integers(0, 255, (4, 3, 32, 32), dtype=np.uint8),
        "past_actions": random.integers(0, 6, (4, 3)),
    }
    together = dqn.acting_policy().q_values(seen)
    alone = dqn.acting_policy().q_values({key: value[:1] for key, value in seen.items()})
    np.testing.assert_allclose(together[:1], alone, rtol=1e-4, atol=1e-5)


def test_chance_falls_from_a_hundredth_to_a_thousandth() -> None:
    exploring = Exploring(paper_learner().acting_policy(), PAPER.agent, 5)
    cells = 20_000
    observation = {
        "frames": np.zeros((cells, 3, 32, 32), np.uint8),
        "past_actions": np.zeros((cells, 3), np.int64),
        "expert": np.full(cells, 2),
    }
    shares = []
    for steps in (0, 100_000):
        exploring.steps = steps
        act = exploring.act(observation, None, np.random.default_rng(0))
        # A random action is the greedy one a fifth of the time.
        shares.append(np.mean(act.action != act.extras["q"].argmax(1)) / 0.8)
    assert shares[0] == pytest.approx(0.01, rel=0.35)
    assert shares[1] == pytest.approx(0.001, abs=0.001)


def test_it_runs_from_the_loop_to_a_policy_that_loads(tmp_path) -> None:
    changes = {"task": to_plain(TOY), "positions": 31, "steps": 300, "evaluate_every": 100}
    config = train_config({**changes, "threads": 1}, "test", "paper")
    stack = blur_stack()
    run = Run.create(tmp_path, "toy", to_plain(config))
    standing = train(config, prepare(stack, config), run, lambda metrics: None)
    assert standing.steps == 300
    result = vm.focus(stack.instrument(start=25.0), vm.load_policy(run.path))
    assert result.exposures >= 1
