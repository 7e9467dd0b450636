"""PPO: its advantages and losses by their equations, its actions, what an update takes in."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from visuomotor.agents.ppo import (
    Experience,
    Ppo,
    PpoConfig,
    clipped_surrogate,
    gae,
    load_policy,
    value_loss,
)
from visuomotor.configs import from_plain, to_plain
from visuomotor.errors import InputError
from visuomotor.models.actor_critic import ActorCriticConfig, RunningMoments, log_prob_and_entropy
from visuomotor.tasks.base import PolicySpec

HEADS = ("independent", "sequential")
SPEC = PolicySpec("toy", 1, ("place", "features", "picture"))
OBSERVATIONS = gym.spaces.Dict(
    {
        "place": gym.spaces.Box(-1, 1, ()),
        "features": gym.spaces.Box(-1, 1, (3,), np.float64),
        "picture": gym.spaces.Box(0, 255, (4, 4), np.uint8),
    }
)
DIGITS = gym.spaces.MultiDiscrete([3, 4, 2])
SMALL = ActorCriticConfig(widths=(16,), embedding=4)


def learner(
    space: gym.Space = DIGITS, heads: str = "independent", seed: int = 0, **changes: object
) -> Ppo:
    config = PpoConfig(network=replace(SMALL, heads=heads), **changes)
    return Ppo(SPEC, OBSERVATIONS, space, config, seed)


def observation(count: int, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "place": rng.normal(0, 1, count),
        "features": rng.normal(5, 9, (count, 3)),
        "picture": rng.integers(0, 255, (count, 4, 4)).astype(np.uint8),
    }


def shuffled(ppo: Ppo, seed: int = 1) -> Ppo:
    """With weights as after much learning: no component is even, and each depends on others."""
    draws = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in ppo.network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=draws) * 0.7)
    return ppo


def experience(ppo: Ppo, steps: int = 6, cells: int = 5, seed: int = 3) -> Experience:
    """What its own acting policy did, with rewards and ends at random."""
    rng = np.random.default_rng(seed)
    policy = ppo.acting_policy()
    seen = [observation(cells, seed + k) for k in range(steps + 1)]
    acts = [policy.act(looked, None, rng) for looked in seen[:-1]]
    return Experience(
        seen=np.stack([policy.greedy.read(looked) for looked in seen[:-1]]),
        action=np.stack([act.action for act in acts]),
        log_prob=np.stack([act.extras["log_prob"] for act in acts]),
        value=np.stack([act.extras["value"] for act in acts]),
        reward=rng.normal(0, 1, (steps, cells)),
        done=rng.random((steps, cells)) < 0.2,
        cut_value=np.zeros((steps, cells), np.float32),
        active=np.ones((steps, cells), bool),
        last_value=policy.greedy.values(seen[-1]),
    )


# ---- losses


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 8),
    st.integers(1, 3),
    st.floats(0, 1),
    st.floats(0, 1),
    st.integers(0, 2**31),
)
def test_advantages_are_the_sum_of_later_surprises(
    steps: int, cells: int, gamma: float, lam: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    reward, value = rng.normal(0, 1, (2, steps, cells))
    last = rng.normal(0, 1, cells)
    done = rng.random((steps, cells)) < 0.3
    active = np.ones((steps, cells), bool)
    for t in range(1, steps):  # some cells that are done stay frozen for a while
        active[t] = ~(~active[t - 1] | done[t - 1]) | (rng.random(cells) < 0.5)
    reward[~active] = np.nan  # must not matter

    expected = np.zeros((steps, cells))
    for t, b in itertools.product(range(steps), range(cells)):
        weight = 1.0
        for k in range(t, steps):
            if not active[t, b]:
                break
            after = 0.0 if done[k, b] else (value[k + 1, b] if k + 1 < steps else last[b])
            expected[t, b] += weight * (reward[k, b] + gamma * after - value[k, b])
            weight *= gamma * lam
            if done[k, b]:
                break
    # Frozen cells stay done, as environments have it.
    done |= ~active
    tensors = [torch.from_numpy(x) for x in (reward, value, done, last)]
    found = gae(*tensors, gamma, lam, torch.from_numpy(active))
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-9)


@pytest.mark.parametrize(
    ("ratio", "advantage", "pushes"),
    [(1.3, 1.0, False), (1.1, 1.0, True), (0.7, 1.0, True),
     (0.7, -1.0, False), (0.9, -1.0, True), (1.3, -1.0, True)],
)  # fmt: skip
def test_the_surrogate_pushes_only_where_nothing_is_clipped(
    ratio: float, advantage: float, pushes: bool
) -> None:
    ratios = torch.tensor([ratio], requires_grad=True)
    loss = clipped_surrogate(ratios, torch.tensor([advantage]), 0.2)
    torch.autograd.backward(loss)
    assert (ratios.grad != 0).item() == pushes
    assert loss.item() == pytest.approx(
        -min(ratio * advantage, float(np.clip(ratio, 0.8, 1.2)) * advantage)
    )
    assert value_loss(torch.tensor([1.0, 3.0]), torch.tensor([0.0, 1.0])).item() == 2.5


# ---- actions


def combinations(count: int = 1) -> torch.Tensor:
    every = torch.tensor(list(itertools.product(*(range(n) for n in DIGITS.nvec))))
    return every.repeat(count, 1)


@pytest.mark.parametrize("heads", HEADS)
def test_probabilities_of_all_actions_sum_to_one(heads: str) -> None:
    network = shuffled(learner(heads=heads)).network
    actions = combinations()
    hidden, _ = network(torch.ones(1, 4).expand(len(actions), -1))
    log_prob, entropy = log_prob_and_entropy(network.logits(hidden, actions), actions)
    probability = log_prob.double().exp()
    assert probability.sum().item() == pytest.approx(1.0, abs=1e-5)
    # The mean of the entropies along sampled actions is that of the whole action.
    true = -(probability * log_prob).sum().item()
    assert (probability * entropy).sum().item() == pytest.approx(true, abs=1e-5)
    if heads == "independent":
        assert entropy.std().item() < 1e-5
        assert entropy[0].item() == pytest.approx(true, abs=1e-5)
    else:  # another first component makes another second one likely
        assert entropy.std().item() > 0.01


@pytest.mark.parametrize("heads", HEADS)
def test_greedy_takes_the_likeliest_component_after_component(heads: str) -> None:
    ppo = shuffled(learner(heads=heads))
    looked = observation(20)
    act = ppo.policy().act(looked, None, np.random.default_rng(0))
    hidden, value = ppo.network(torch.from_numpy(ppo.policy().read(looked)))
    logits = ppo.network.logits(hidden, torch.from_numpy(act.action))
    for k, component in enumerate(logits):
        np.testing.assert_array_equal(act.action[:, k], component.argmax(1).numpy())
    log_prob, _ = log_prob_and_entropy(logits, torch.from_numpy(act.action))
    np.testing.assert_allclose(act.extras["log_prob"], log_prob.detach().numpy(), atol=1e-6)
    np.testing.assert_allclose(act.extras["value"], value.detach().numpy(), atol=1e-6)
    np.testing.assert_array_equal(ppo.policy().values(looked), act.extras["value"])
    assert len(np.unique(act.action, axis=0)) > 3, "it must look at what it sees"


@pytest.mark.parametrize("heads", HEADS)
def test_sampled_actions_come_as_often_as_they_are_likely(heads: str) -> None:
    ppo = shuffled(learner(heads=heads))
    one = {key: value.repeat(20_000, 0) for key, value in observation(1).items()}
    act = ppo.acting_policy().act(one, None, np.random.default_rng(0))
    assert DIGITS.contains(act.action[0])
    hidden, _ = ppo.network(torch.from_numpy(ppo.policy().read(one))[:1].expand(24, -1))
    log_prob, _ = log_prob_and_entropy(ppo.network.logits(hidden, combinations()), combinations())
    counts = [(act.action == combo.numpy()).all(1).mean() for combo in combinations()]
    np.testing.assert_allclose(counts, log_prob.exp().detach().numpy(), atol=0.015)
    again = ppo.acting_policy().act(one, None, np.random.default_rng(0))
    np.testing.assert_array_equal(act.action, again.action)


def test_an_action_is_shaped_as_its_space_has_it() -> None:
    rng = np.random.default_rng(0)
    for space, shape in [(gym.spaces.Discrete(4), (5,)), (gym.spaces.MultiDiscrete([4]), (5, 1))]:
        ppo = learner(space)
        for policy in (ppo.policy(), ppo.acting_policy()):
            action = policy.act(observation(5), policy.begin(None, np.ones(5, bool)), rng).action
            assert action.shape == shape
            assert all(space.contains(one) for one in action)


def test_pictures_are_not_read_and_order_is_that_of_the_spec() -> None:
    looked = observation(2)
    read = learner().policy().read(dict(reversed(looked.items())))
    assert read.dtype == np.float32
    np.testing.assert_allclose(
        read, np.concatenate([looked["place"][:, None], looked["features"]], 1), rtol=1e-6
    )


# ---- moments


@given(st.lists(st.integers(1, 20), min_size=1, max_size=5), st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_moments_taken_in_piece_by_piece_are_those_of_the_whole(counts, seed: int) -> None:
    draws = torch.Generator().manual_seed(seed)
    pieces = [torch.randn(count, 3, generator=draws) * 7 + 1000 for count in counts]
    moments = RunningMoments(3)
    for piece in pieces:
        moments.take_in(piece)
    whole = torch.cat(pieces).double()
    torch.testing.assert_close(moments.mean, whole.mean(0))
    torch.testing.assert_close(moments.var, whole.var(0, correction=0))


def test_what_never_changed_is_not_magnified() -> None:
    moments = RunningMoments(2)
    values = torch.tensor([[4.5e6, 0.0], [4.5e6, 2e-3]])
    moments.take_in(values)
    torch.testing.assert_close(moments(values), torch.tensor([[0.0, -1.0], [0.0, 1.0]]))
    assert moments(torch.tensor([[4.5e6 + 2, 1e9]])).tolist() == [[2.0, 10.0]]


# ---- an update


def test_nothing_has_changed_when_an_update_begins() -> None:
    """Also where observations are far from zero, and not as they were when it was calibrated."""
    ppo = learner(epochs=1, batch=1000)
    ppo.calibrate(ppo.policy().read(observation(50, seed=9)) * 3 - 2)
    batch = experience(ppo)
    losses = ppo.update(batch)
    assert abs(losses["kl"]) < 1e-6
    assert losses["clip_share"] == 0.0
    assert losses["policy_loss"] == pytest.approx(0.0, abs=1e-5)  # normalised advantages
    assert ppo.network.moments.count == 50 + batch.active.size


def gradient_steps(ppo: Ppo) -> int:
    return int(next(iter(ppo.optimizer.state.values()))["step"])


def test_an_update_ends_once_the_policy_has_moved_far() -> None:
    changes = {"epochs": 20, "batch": 10, "learning_rate": 0.01}
    free, held = (learner(target_kl=kl, **changes) for kl in (None, 0.01))
    batch = experience(free)
    assert free.update(batch)["kl"] > 3 * held.update(batch)["kl"]
    assert gradient_steps(free) == 20 * 3
    assert 0 < gradient_steps(held) < 30


def test_guidance_goes_on_where_the_rest_stops_and_then_falls_to_none() -> None:
    changes = {"epochs": 20, "batch": 10, "learning_rate": 0.01, "guidance_updates": 2}
    ppo = learner(target_kl=0.01, guidance_weight=1.0, **changes)
    batch = experience(ppo)
    expert = np.tile([1, 2, 0], (6, 5, 1))
    expert[::2, :, 1] = -1  # nobody knows
    first = ppo.update(batch._replace(expert=expert))
    assert gradient_steps(ppo) == 60
    act = ppo.policy().act(observation(5, seed=4), None, np.random.default_rng(0))
    assert (act.action == [1, 2, 0]).all()
    assert ppo.update(experience(ppo)._replace(expert=expert))["guidance_loss"] < 0.2
    assert first["guidance_loss"] > 0.2
    before = gradient_steps(ppo)
    assert ppo.update(experience(ppo)._replace(expert=expert))["guidance_loss"] == 0.0
    assert gradient_steps(ppo) - before <= 60


def test_without_weight_or_without_knowledge_guidance_changes_nothing() -> None:
    plain, unguided, unknown = learner(), learner(), learner(guidance_weight=1.0, target_kl=None)
    batch = experience(plain)
    plain.update(batch)
    unguided.update(batch._replace(expert=np.zeros_like(batch.action)))
    same_weights(plain, unguided)
    nobody = learner(target_kl=None)
    nobody.update(batch)
    unknown.update(batch._replace(expert=np.full_like(batch.action, -1)))
    same_weights(nobody, unknown)


def same_weights(one: Ppo, other: Ppo) -> None:
    theirs = other.weights()
    for name, value in one.weights().items():
        torch.testing.assert_close(value, theirs[name], rtol=0, atol=0, msg=name)


def test_frozen_cells_take_no_part() -> None:
    one, other = learner(epochs=1, batch=1000), learner(epochs=1, batch=1000)
    batch = experience(one)
    batch.active[:, 3] = False
    batch.seen[:, 3], batch.reward[:, 3] = np.nan, np.nan
    others = [c != 3 for c in range(5)]
    kept = {key: value[:, others] for key, value in batch._asdict().items()
            if value is not None and key != "last_value"}  # fmt: skip
    alone = Experience(**kept, last_value=batch.last_value[others])
    one.update(batch)
    other.update(alone)
    same_weights(one, other)
    batch.active[0, 3] = True
    with pytest.raises(InputError, match="ppo: seen: expected finite numbers"):
        one.update(batch)
    batch.active[:] = False
    with pytest.raises(InputError, match="expected cells that took part"):
        one.update(batch)


def test_a_reward_counts_in_its_unit_and_a_cut_episode_would_have_gone_on() -> None:
    one, other = learner(), learner(reward_unit=64.0)
    batch = experience(one)
    one.update(batch)
    other.update(batch._replace(reward=batch.reward * 64))
    same_weights(one, other)
    cut, paid = learner(reward_unit=64.0, gamma=0.5), learner(reward_unit=64.0, gamma=0.5)
    worth = np.where(batch.done, np.float32(4), np.float32(0))
    cut.update(batch._replace(cut_value=worth))
    paid.update(batch._replace(reward=batch.reward + 0.5 * 64 * worth))
    for name, value in cut.weights().items():
        torch.testing.assert_close(value, paid.weights()[name], rtol=1e-4, atol=1e-5)


def test_the_learning_rate_falls() -> None:
    ppo = learner(decay_updates=4, decay_to=0.1, learning_rate=0.01)
    rates = []
    for _ in range(6):
        ppo.update(experience(ppo))
        rates.append(ppo.optimizer.param_groups[0]["lr"])
    assert rates[0] == 0.01
    assert rates[-1] == pytest.approx(0.001)
    assert all(np.diff(rates) <= 0)


@pytest.mark.parametrize("heads", HEADS)
def test_it_goes_on_exactly_from_its_state(heads: str) -> None:
    one = learner(heads=heads)
    one.update(experience(one))
    other = learner(heads=heads, seed=7)
    other.load_state_dict(one.state_dict())
    batch = experience(one)
    assert one.update(batch) == other.update(batch)
    same_weights(one, other)


def test_nobody_else_s_chance_is_touched() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    ppo = learner()
    ppo.update(experience(ppo))
    assert torch.rand(1) == expected


# ---- saved and refused


@pytest.mark.parametrize("space", [DIGITS, gym.spaces.Discrete(6)])
@pytest.mark.parametrize("heads", HEADS)
def test_a_policy_comes_back_from_its_weights(space: gym.Space, heads: str) -> None:
    ppo = shuffled(learner(space, heads))
    ppo.calibrate(ppo.policy().read(observation(30)))
    config = json.loads(json.dumps(to_plain(ppo.config)))
    assert from_plain(PpoConfig, config, "here") == ppo.config
    loaded = load_policy(SPEC, config, ppo.weights(), "here")
    one, two = (
        p.act(observation(9), None, np.random.default_rng(0)) for p in (ppo.policy(), loaded)
    )
    np.testing.assert_array_equal(one.action, two.action)
    np.testing.assert_array_equal(one.extras["value"], two.extras["value"])


def test_weights_that_do_not_fit_are_refused() -> None:
    ppo = learner()
    config, weights = to_plain(ppo.config), ppo.weights()
    with pytest.raises(InputError, match="here: expected a weight 'choices', found none"):
        load_policy(SPEC, config, {k: v for k, v in weights.items() if k != "choices"}, "here")
    with pytest.raises(InputError, match=r"weight 'trunk\.0\.weight': expected shape \(8, 4\)"):
        load_policy(SPEC, {**config, "network": {"widths": [8]}}, weights, "here")
    with pytest.raises(InputError, match="expected the sizes of 1 observations, got"):
        load_policy(replace(SPEC, observation=("place",)), config, weights, "here")
    with pytest.raises(InputError, match="unknown key 'clipp'; did you mean 'clip'"):
        load_policy(SPEC, {"clipp": 0.1}, weights, "here")


@pytest.mark.parametrize(
    "space",
    [
        gym.spaces.Box(0, 1, (2,)),
        gym.spaces.MultiBinary(3),
        gym.spaces.Discrete(3, start=1),
        gym.spaces.MultiDiscrete([[2, 3], [4, 5]]),
    ],
)
def test_actions_that_it_cannot_choose_are_refused(space: gym.Space) -> None:
    with pytest.raises(InputError, match="chooses among discrete values counted from 0"):
        learner(space)


def test_observations_that_it_cannot_read_are_refused() -> None:
    only = replace(SPEC, observation=("picture",))
    with pytest.raises(InputError, match="reads numbers and vectors, but the task offers"):
        Ppo(only, OBSERVATIONS, DIGITS, PpoConfig(), 0)


@pytest.mark.parametrize(
    "changes",
    [{"epochs": 0}, {"clip": 0.0}, {"target_kl": -1.0}, {"gamma": 1.1}, {"learning_rate": np.nan}],
)
def test_settings_out_of_range_are_refused(changes: dict) -> None:
    with pytest.raises(InputError, match=f"Ppo: {next(iter(changes))}: expected"):
        PpoConfig(**changes)
    with pytest.raises(InputError, match="widths: expected one or more"):
        ActorCriticConfig(widths=())
