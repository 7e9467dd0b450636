"""What the expert said, kept: what is remembered, drawn from, and learned from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from visuomotor.agents.expert_memory import ExpertMemory
from visuomotor.agents.ppo import Experience, Ppo, PpoConfig
from visuomotor.errors import InputError
from visuomotor.files import load_state, save_state
from visuomotor.models.actor_critic import ActorCriticConfig, cross_entropy_to
from visuomotor.tasks.base import PolicySpec


def rollout(first: int, count: int, components: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    """States that are numbered, and actions by which each is known again."""
    number = torch.arange(first, first + count)
    return number[:, None].float(), torch.stack([number + k for k in range(components)], 1)


def drawn(memory: ExpertMemory, count: int = 400, seed: int = 0) -> set[int]:
    seen, expert = memory.sample(count, torch.Generator().manual_seed(seed))
    assert seen.shape == (count, 1)
    torch.testing.assert_close(seen[:, 0].long(), expert[:, 0])
    torch.testing.assert_close(expert[:, 1], expert[:, 0] + 1)
    return set(expert[:, 0].tolist())


# -- the memory --------------------------------------------------------------------------------


@pytest.mark.parametrize("kept", [1, 2, 3, 12])
def test_the_newest_rollouts_are_kept(kept: int) -> None:
    memory = ExpertMemory(kept)
    assert len(memory) == 0
    sizes = [5, 3, 4, 6, 2]
    first = 0
    for number, size in enumerate(sizes):
        memory.add(*rollout(first, size))
        first += size
        assert len(memory) == sum(sizes[: number + 1][-kept:])
        assert drawn(memory) == set(range(first - len(memory), first))


def test_what_nobody_knows_is_left_out() -> None:
    seen, expert = rollout(0, 6)
    expert[1, 0] = expert[3, 1] = -1
    memory = ExpertMemory(2)
    memory.add(seen, expert)
    assert len(memory) == 4
    assert drawn(memory) == {0, 2, 4, 5}


@pytest.mark.parametrize("where", [0, 1, 2])
def test_a_rollout_of_which_nothing_is_known_counts_all_the_same(where: int) -> None:
    memory = ExpertMemory(2)
    for number in range(3):
        seen, expert = rollout(10 * number, 4)
        memory.add(seen, torch.full_like(expert, -1) if number == where else expert)
    known = {0: {10, 11, 12, 13, 20, 21, 22, 23}, 1: {20, 21, 22, 23}, 2: {10, 11, 12, 13}}
    assert drawn(memory) == known[where]
    alone = ExpertMemory(1)
    alone.add(*rollout(0, 4))
    seen, expert = rollout(0, 4)
    alone.add(seen, torch.full_like(expert, -1))
    assert len(alone) == 0


def test_states_are_drawn_alike_whatever_rollout_they_are_of() -> None:
    memory = ExpertMemory(3)
    for first, count in ((0, 1), (1, 8), (9, 1)):
        memory.add(*rollout(first, count))
    _, expert = memory.sample(20_000, torch.Generator().manual_seed(1))
    shares = np.bincount(expert[:, 0].numpy(), minlength=10) / 20_000
    np.testing.assert_allclose(shares, 0.1, atol=0.01)


@given(st.integers(1, 4), st.lists(st.integers(0, 5), min_size=1, max_size=8))
@settings(deadline=None)
def test_never_more_than_was_put_in_and_always_pairs(kept: int, sizes: list[int]) -> None:
    memory = ExpertMemory(kept)
    first = 0
    for size in sizes:
        memory.add(*rollout(first, size))
        first += size
    assert len(memory) == sum(sizes[-kept:])
    if len(memory):
        assert drawn(memory, 20) <= set(range(first))


def test_it_comes_back_from_a_file_and_goes_on(tmp_path: Path) -> None:
    """More rollouts than digits sort alike as words and as numbers."""
    memory, other = ExpertMemory(12), ExpertMemory(12)
    for number in range(14):
        memory.add(*rollout(10 * number, 1 + number % 3))
    save_state(tmp_path / "state", memory.state_dict())
    other.load_state_dict(load_state(tmp_path / "state"))
    for number in range(20, 26):
        assert len(other) == len(memory)
        draws = torch.Generator().manual_seed(number), torch.Generator().manual_seed(number)
        for mine, theirs in zip(
            memory.sample(50, draws[0]), other.sample(50, draws[1]), strict=True
        ):
            torch.testing.assert_close(mine, theirs, rtol=0, atol=0)
        for one in (memory, other):
            one.add(*rollout(10 * number, 3))


def test_an_empty_one_comes_back_too(tmp_path: Path) -> None:
    save_state(tmp_path / "state", ExpertMemory(3).state_dict())
    other = ExpertMemory(3)
    other.load_state_dict(load_state(tmp_path / "state"))
    assert len(other) == 0
    other.add(*rollout(0, 2))
    assert drawn(other) == {0, 1}


def test_what_was_saved_does_not_change_by_going_on() -> None:
    memory = ExpertMemory(2)
    memory.add(*rollout(0, 3))
    kept = memory.state_dict()
    memory.add(*rollout(3, 3))
    other = ExpertMemory(2)
    other.load_state_dict(kept)
    assert drawn(other) == {0, 1, 2}


# -- what is learned from it -------------------------------------------------------------------


def logits_of(seed: int, *choices: int, count: int = 7) -> tuple[list[torch.Tensor], torch.Tensor]:
    draws = torch.Generator().manual_seed(seed)
    logits = [2 * torch.randn(count, n, generator=draws) for n in choices]
    best = torch.stack([torch.randint(n, (count,), generator=draws) for n in choices], 1)
    return logits, best


@pytest.mark.parametrize("choices", [(6,), (5, 9), (4, 3, 2)])
@pytest.mark.parametrize("spread", ["none", "zeros"])
def test_without_spread_it_is_minus_the_actions_log_probability(choices, spread) -> None:
    logits, best = logits_of(0, *choices)
    found = cross_entropy_to(logits, best, () if spread == "none" else (0.0,) * len(choices))
    expected = sum(
        torch.nn.functional.cross_entropy(part, best[:, k], reduction="none")
        for k, part in enumerate(logits)
    )
    torch.testing.assert_close(found, expected)


def test_spread_gives_neighbours_a_gaussians_credit() -> None:
    logits, best = logits_of(1, 11, 6)
    found = cross_entropy_to(logits, best, (1.5, 0.0))
    expected = []
    for row in range(len(best)):
        away = np.arange(11) - int(best[row, 0])
        credit = np.exp(-(away**2) / (2 * 1.5**2))
        credit /= credit.sum()
        log_p = logits[0][row].log_softmax(0).numpy()
        second = float(logits[1][row].log_softmax(0)[best[row, 1]])
        expected.append(-(credit @ log_p) - second)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5)


@given(st.integers(0, 40), st.floats(0.3, 8))
@settings(deadline=None, max_examples=50)
def test_near_misses_cost_less_than_far_ones(best: int, deviation: float) -> None:
    """Certain of a value that is ever further from the best."""
    places = torch.arange(41)
    logits = 8 * torch.nn.functional.one_hot(places, 41).float()
    cost = cross_entropy_to([logits], torch.full((41, 1), best), (deviation,))
    away = (places - best).abs()
    nearest_first = cost[away.argsort(stable=True)].numpy()
    assert (np.diff(nearest_first) >= -1e-4).all()
    assert int(cost.argmin()) == best


def test_least_where_the_policy_is_the_gaussian_itself() -> None:
    away = torch.arange(21) - 4
    gaussian = -0.5 * (away / 2.0).square()
    best = torch.tensor([[4]])
    least = cross_entropy_to([gaussian[None]], best, (2.0,))
    for seed in range(5):
        noise = torch.randn(21, generator=torch.Generator().manual_seed(seed))
        assert cross_entropy_to([(gaussian + 0.3 * noise)[None]], best, (2.0,)) > least


SPEC = PolicySpec("toy", 1, ("place",))
SPACES = (
    gym.spaces.Dict({"place": gym.spaces.Box(-1, 1, (2,))}),
    gym.spaces.MultiDiscrete([4, 6]),
)
GUIDED = PpoConfig(
    guidance_weight=1.0,
    guidance_updates=100,
    batch=32,
    epochs=2,
    network=ActorCriticConfig(widths=(16,), embedding=4, heads="sequential"),
)


def learner(seed: int = 0, **changes: Any) -> Ppo:
    return Ppo(SPEC, *SPACES, replace(GUIDED, **changes), seed)


def experience(ppo: Ppo, known: bool = True, seed: int = 0) -> Experience:
    """16 steps of 4 cells; the best action depends on where they are."""
    draws = np.random.default_rng(seed)
    seen = draws.uniform(-1, 1, (16, 4, 2)).astype(np.float32)
    act = ppo.acting_policy().act({"place": seen.reshape(-1, 2)}, None, draws)
    shape = (16, 4)
    best = np.stack([(seen[..., 0] > 0) * 3, (seen[..., 1] > 0) * 5], -1).astype(np.int64)
    done = np.zeros(shape, bool)
    done[-1] = True
    return Experience(
        seen=seen,
        action=act.action.reshape(*shape, 2),
        log_prob=act.extras["log_prob"].reshape(shape),
        value=act.extras["value"].reshape(shape),
        reward=draws.normal(size=shape),
        done=done,
        cut_value=np.zeros(shape, np.float32),
        active=np.ones(shape, bool),
        last_value=np.zeros(4, np.float32),
        expert=best if known else np.full_like(best, -1),
    )


@pytest.mark.parametrize(("kept", "guided"), [(1, False), (2, True)])
def test_a_learner_goes_on_being_guided_by_what_it_kept(kept: int, guided: bool) -> None:
    ppo = learner(guidance_kept=kept)
    assert ppo.update(experience(ppo))["guidance_loss"] > 0
    assert (ppo.update(experience(ppo, known=False, seed=1))["guidance_loss"] > 0) == guided


def test_nothing_is_kept_where_nobody_is_guided() -> None:
    ppo = learner(guidance_weight=0.0, guidance_kept=5)
    for seed in range(3):
        assert ppo.update(experience(ppo, seed=seed))["guidance_loss"] == 0
    assert ppo.state_dict()["memory"]["seen"].numel() == 0
    over = learner(guidance_updates=1, guidance_kept=5)
    assert over.update(experience(over))["guidance_loss"] > 0
    assert over.update(experience(over))["guidance_loss"] == 0


def test_it_learns_what_the_expert_says() -> None:
    ppo = learner(guidance_kept=4, learning_rate=0.01, entropy_weight=0.0, decay_updates=1000)
    for seed in range(15):
        losses = ppo.update(experience(ppo, seed=seed))
    assert losses["guidance_loss"] < 1.0
    batch = experience(ppo, seed=99)
    act = ppo.policy().act({"place": batch.seen.reshape(-1, 2)}, None, np.random.default_rng(0))
    right = (act.action == batch.expert.reshape(-1, 2)).all(1)
    assert right.mean() > 0.8


def test_a_guided_learner_goes_on_exactly_from_a_file(tmp_path: Path) -> None:
    one = learner(guidance_kept=3, guidance_spread=(0.0, 1.0))
    for seed in range(4):
        one.update(experience(one, seed=seed))
    save_state(tmp_path / "state", one.state_dict())
    other = learner(seed=5, guidance_kept=3, guidance_spread=(0.0, 1.0))
    other.load_state_dict(load_state(tmp_path / "state"))
    for seed in (7, 8):
        batch = experience(one, known=seed == 7, seed=seed)
        assert one.update(batch) == other.update(batch)
    for name, value in one.weights().items():
        torch.testing.assert_close(value, other.weights()[name], rtol=0, atol=0)


@pytest.mark.parametrize(
    "changes", [{"guidance_kept": 0}, {"guidance_kept": -1}, {"guidance_spread": (-1.0,)}]
)
def test_settings_of_guidance_out_of_range_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(changes))):
        PpoConfig(**changes)


@pytest.mark.parametrize("spread", [(1.0,), (1.0, 1.0, 1.0)])
def test_a_spread_of_other_components_is_refused(spread: tuple[float, ...]) -> None:
    with pytest.raises(InputError, match="guidance_spread"):
        learner(guidance_spread=spread)
