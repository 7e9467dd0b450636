"""Checkpoints: whole or refused, and never a pickle."""

from __future__ import annotations

import os
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

import visuomotor as vm
from visuomotor import zoo
from visuomotor.checkpoint import load_checkpoint, save_policy
from visuomotor.files import load_state, save_state, write_atomically
from visuomotor.tasks.base import PolicySpec

GOOD = zoo.path_of("yu2018-exp1@1")


def changed(tmp_path, **changes):
    """The shipped policy with some of its parts replaced."""
    state = load_state(GOOD)
    spec = PolicySpec(**{**state["spec"], "observation": tuple(state["spec"]["observation"])})
    parts = {key: state[key] for key in ("agent", "config", "weights", "provenance")}
    parts |= {"spec": spec, **changes}
    path = tmp_path / "policy.safetensors"
    save_policy(path, **parts)
    return path


def test_round_trip_acts_the_same(tmp_path) -> None:
    frames = np.random.default_rng(0).integers(0, 255, (4, 3, 84, 84), dtype=np.uint8)
    observation = {"frames": frames, "past_actions": np.zeros((4, 3), np.int64)}
    one, two = vm.load_policy(GOOD), vm.load_policy(changed(tmp_path))
    assert one.spec == two.spec
    np.testing.assert_array_equal(one.q_values(observation), two.q_values(observation))


@given(
    keep=st.floats(0, 1, exclude_max=True),
)
@settings(max_examples=40, deadline=None)
def test_truncated_anywhere_is_refused(tmp_path_factory, keep: float) -> None:
    path = tmp_path_factory.mktemp("cut") / "policy.safetensors"
    content = GOOD.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(vm.InputError, match=r"policy\.safetensors: expected"):
        load_checkpoint(path)


class Bomb:
    def __reduce__(self):
        return os._exit, (1,)


def test_a_header_whose_length_looks_like_a_pickle_is_read(tmp_path) -> None:
    # Pickles begin with 0x80; so does, once in 256 times, the length of a safetensors header.
    path = tmp_path / "state.safetensors"
    for padding in range(0, 300, 8):  # headers are padded to 8 bytes
        save_state(path, {"text": "x" * padding})
        if path.read_bytes()[0] == 0x80:
            break
    else:
        pytest.fail("no header of such a length was made")
    assert load_state(path) == {"text": "x" * padding}


@pytest.mark.parametrize("writer", [pickle.dump, torch.save])
def test_a_pickle_is_never_loaded(tmp_path, writer) -> None:
    path = tmp_path / "policy.safetensors"
    with path.open("wb") as file:
        writer(Bomb(), file)
    with pytest.raises(vm.InputError, match="pickle, which is never loaded"):
        load_checkpoint(path)


def test_foreign_safetensors_are_refused(tmp_path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"x": torch.zeros(3)}, path)
    with pytest.raises(vm.InputError, match="got other safetensors"):
        load_checkpoint(path)


def test_the_state_of_a_trainer_is_no_policy(tmp_path) -> None:
    path = tmp_path / "trainer.safetensors"
    save_state(path, {"kind": "training run"})
    with pytest.raises(vm.InputError, match="got the state of a training run"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"spec": PolicySpec("autofokus", 1, (), {})}, "did you mean 'autofocus'"),
        ({"spec": PolicySpec("autofocus", 7, (), {})}, "expected autofocus version 1, got 7"),
        ({"agent": "dqnn"}, "did you mean 'dqn'"),
        ({"config": {"n_stepp": 2}}, "did you mean 'n_step'"),
        ({"weights": {}}, "expected a weight 'mean'"),
        ({"weights": {"mean": torch.zeros(3, 3)}}, r"'mean': expected shape \(84, 84\), got"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, changes, words: str) -> None:
    with pytest.raises(vm.InputError, match=words):
        load_checkpoint(changed(tmp_path, **changes))


def test_a_network_for_other_actions_than_its_task_has_is_refused(tmp_path) -> None:
    spec = load_checkpoint(GOOD).policy.spec
    for changes in ({"steps": [1, 0, -1]}, {"history": 2}, {"frame_size_px": 64}):
        other = PolicySpec(spec.task, spec.version, spec.observation, {**spec.config, **changes})
        with pytest.raises(vm.InputError, match="expected shape"):
            load_checkpoint(changed(tmp_path, spec=other))


def test_a_policy_without_its_pictures_is_refused(tmp_path) -> None:
    spec = load_checkpoint(GOOD).policy.spec
    blind = PolicySpec(spec.task, spec.version, ("position",), spec.config)
    with pytest.raises(vm.InputError, match="dqn reads 'frames'"):
        load_checkpoint(changed(tmp_path, spec=blind))


def test_states_of_every_kind_come_back(tmp_path) -> None:
    state = {
        "big": 2**100,
        "text": "µm",
        "none": None,
        "list": [1, [2.5, "x"]],
        "scalar": np.float64(0.1),
        "flags": np.array([True, False]),
        "zero_d": np.array(3),
        "nested": {"tensor": torch.arange(6).reshape(2, 3).t(), "empty": {}},
    }
    save_state(tmp_path / "s", state)
    back = load_state(tmp_path / "s")
    assert {k: back[k] for k in ("big", "text", "none", "list", "scalar")} == {
        k: state[k] for k in ("big", "text", "none", "list", "scalar")
    }
    np.testing.assert_array_equal(back["flags"], state["flags"])
    assert back["zero_d"].shape == ()
    assert torch.equal(back["nested"]["tensor"], state["nested"]["tensor"])
    assert back["nested"]["empty"] == {}


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def failing(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@given(at=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
@settings(max_examples=150, deadline=None)
def test_a_changed_byte_is_found(tmp_path_factory, at: float, flip: int) -> None:
    path = tmp_path_factory.mktemp("flip") / "policy.safetensors"
    content = bytearray(GOOD.read_bytes())
    # Half of the flips into the header, where there is most to misread.
    where = int(at * 2 * 6000) if at < 0.5 else int(at * len(content))
    content[where] ^= flip
    path.write_bytes(bytes(content))
    try:
        load_checkpoint(path)
    except vm.InputError:
        return
    # What is left: bytes that mean nothing (padding, the spelling of JSON outside our header).
    one, two = load_state(GOOD), load_state(path)
    assert one.keys() == two.keys()
    assert all(torch.equal(two["weights"][k], v) for k, v in one["weights"].items())
