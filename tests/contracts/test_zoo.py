"""What every shipped policy promises."""

from __future__ import annotations

import pytest

import visuomotor as vm
from visuomotor import zoo
from visuomotor.configs import from_plain
from visuomotor.evaluate import evaluate, summarise
from visuomotor.tasks.autofocus import AutofocusConfig
from visuomotor.training.examining import focus_env


@pytest.mark.parametrize("name", zoo.names())
def test_shipped_policies_are_whole_and_small(name: str) -> None:
    path = zoo.path_of(name)
    card = zoo.card(name)
    assert path.stat().st_size <= 4 * 2**20
    assert card["name"] == name
    assert card["provenance"]["machine"]
    assert zoo.resolve(name.rpartition("@")[0]).startswith(name.rpartition("@")[0])


def test_the_shipped_policies_fit_together() -> None:
    assert sum(zoo.path_of(name).stat().st_size for name in zoo.names()) <= 24 * 2**20


def test_yu2018_exp1_solves_every_start_of_its_view() -> None:
    policy = vm.load_policy("yu2018-exp1@1")
    stack = vm.demo_stack()
    env, _ = focus_env(from_plain(AutofocusConfig, policy.spec.config, "spec"), stack, 131)
    rows = evaluate(policy, env, starts=stack.positions)
    summary = summarise(rows)
    assert summary.accuracy == 1.0
    assert summary.mean_steps <= 1.1 * summary.optimal_steps
    assert 4.5 <= summary.optimal_steps <= 7


def test_a_changed_file_is_refused(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = zoo.names()[0]
    for suffix in ("json", "safetensors"):
        content = (zoo.FOLDER / f"{name}.{suffix}").read_bytes()
        (tmp_path / f"{name}.{suffix}").write_bytes(content)
    with (tmp_path / f"{name}.safetensors").open("ab") as file:
        file.write(b"x")
    monkeypatch.setattr(zoo, "FOLDER", tmp_path)
    with pytest.raises(vm.InputError, match="sha256"):
        vm.load_policy(name)


def test_an_unknown_name_names_the_nearest() -> None:
    with pytest.raises(vm.InputError, match="did you mean 'yu2018-exp"):
        vm.load_policy("yu2018-exp")
