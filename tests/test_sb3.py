"""stable-baselines3 checks and trains on the environment as it is."""

from __future__ import annotations

import gymnasium as gym
import pytest
from toys import blur_stack

stable_baselines3 = pytest.importorskip("stable_baselines3", reason="needs the extra [sb3]")


@pytest.fixture
def env() -> gym.Env:
    import visuomotor  # noqa: F401 - registers the environments

    return gym.make("visuomotor/Autofocus-v0", stack=blur_stack())


def test_check_env(env: gym.Env) -> None:
    from stable_baselines3.common.env_checker import check_env

    check_env(env.unwrapped, warn=True)  # its warnings are errors here


def test_dqn_runs_unmodified(env: gym.Env) -> None:
    from stable_baselines3 import DQN

    model = DQN("MultiInputPolicy", env, buffer_size=300, learning_starts=64, batch_size=16, seed=0)
    before = {name: value.clone() for name, value in model.policy.state_dict().items()}
    model.learn(160)
    after = model.policy.state_dict()
    assert any((before[name] != after[name]).any() for name in before), "it must have learned"
    observation, _ = env.reset(seed=0)
    action, _ = model.predict(observation, deterministic=True)
    assert env.action_space.contains(int(action))
