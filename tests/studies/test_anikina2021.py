"""The study of Anikina et al. 2021: what is measured is what it says, small runs go all the way."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest

import visuomotor as vm
from visuomotor import results
from visuomotor.agents.camera_searches import AutoExposure
from visuomotor.agents.hierarchical import HierarchicalPolicy
from visuomotor.agents.ppo import PpoConfig
from visuomotor.agents.untried import UntriedPolicy
from visuomotor.camera_runner import control_camera
from visuomotor.checkpoint import load_checkpoint
from visuomotor.configs import from_plain, to_plain
from visuomotor.models.actor_critic import ActorCriticConfig
from visuomotor.models.encoders import encoder
from visuomotor.rollout import Rollout
from visuomotor.studies.anikina2021 import comparing, drawing, learning, looking, measuring, study
from visuomotor.studies.anikina2021.episodes import CameraEpisode, summarise
from visuomotor.studies.job import Job, paper_numbers
from visuomotor.training.on_policy import OnPolicyConfig
from visuomotor.zoo import load_policy, names

SMALL = study.CONFIG(episodes=8, cells=4, scenes=6, figure4_pictures=60)
QUICK = OnPolicyConfig(
    PpoConfig(network=ActorCriticConfig(widths=(16,)), epochs=1), cells=4, horizon=4, updates=2
)


def make_job(folder: Path, config: measuring.StudyConfig = SMALL) -> Job:
    return Job(
        study="anikina2021",
        config=config,
        runs=folder / "runs",
        results=folder / "results.json",
        command="visuomotor study anikina2021",
        say=lambda text: None,
    )


def measured(job: Job) -> dict[str, Any]:
    return {row.metric: row.ours for row in results.read(job.results)}


# -- what is measured ------------------------------------------------------------------------------


def test_a_config_comes_back_from_json() -> None:
    config = replace(SMALL, camera=replace(SMALL.camera, start_exposure_us=None))
    plain = json.loads(json.dumps(to_plain(config)))
    assert from_plain(measuring.StudyConfig, plain, "a file") == config


@pytest.mark.parametrize("change", [{"episodes": 0}, {"figure4_pictures": 2}, {"scenes": 0}])
def test_sizes_that_make_no_sense_are_refused(change: dict[str, int]) -> None:
    with pytest.raises(vm.InputError, match=next(iter(change))):
        replace(SMALL, **change)


def test_the_papers_numbers_belong_to_parts_of_the_study() -> None:
    parts = {*study.PARTS, "phase_shift", "tenengrad"}  # the two of part "compared"
    for metric, entry in paper_numbers("anikina2021").items():
        assert metric.partition(".")[0] in parts
        assert set(entry) == {"value", "where"}


def test_a_full_sweep_has_a_position_that_is_sharp_whatever_the_distance() -> None:
    config = SMALL
    lens = config.camera.lens
    tried = np.arange(lens.low_v, lens.high_v + config.sweep_step_v, config.sweep_step_v)
    distances = np.linspace(*config.camera.distance_cm, 61)
    blur = np.abs(lens.defocus_px(tried[:, None], distances))
    assert (blur.min(0) <= measuring.SHARP_PX).all()
    pictures = measuring.sweeps(config)
    assert pictures.full == len(tried) + 1, "and the way back to the best"
    assert pictures.two_stage < pictures.full / 3


def test_the_best_constant_lens_is_the_best_of_its_neighbours() -> None:
    config = SMALL
    best, lens = measuring.best_constant_lens(config), config.camera.lens
    distances = np.random.default_rng(0).uniform(*config.camera.distance_cm, 2000)

    def shown(value: float) -> float:
        return float((np.abs(lens.defocus_px(value, distances)) <= measuring.SHARP_PX).mean())

    assert shown(best.setting) == pytest.approx(best.success, abs=0.04)
    assert shown(best.setting) > max(shown(best.setting + 0.1), shown(best.setting - 0.1))
    assert best.success < 0.5, "or focus would not have to be looked for"


def episode(**changes: Any) -> CameraEpisode:
    plain = CameraEpisode(
        success=True,
        steps=2,
        exposures=3,
        illuminance_lx=100.0,
        distance_cm=150.0,
        detected_at_start=False,
        detected=True,
        blur_at_start_px=9.0,
        blur_px=1.0,
        exposure_us=1e4,
        lens=40.0,
        level=100,
    )
    return replace(plain, **changes)


def test_recovered_counts_only_what_was_not_detected_at_the_start() -> None:
    rows = [
        episode(),
        episode(success=False, detected=False, steps=10),
        episode(detected_at_start=True, detected=False, blur_at_start_px=-1.4),
    ]
    told = summarise(rows)
    assert (told.episodes, told.recovered) == (3, 0.5)
    assert told.mean_steps == pytest.approx(14 / 3)
    assert told.success == pytest.approx(2 / 3)
    assert told.sharp_at_start == pytest.approx(1 / 3), "on either side of focus"
    assert np.isnan(summarise(rows[2:]).recovered)


def test_the_shipped_policies_do_what_is_said_of_them(tmp_path: Path) -> None:
    """A few unseen episodes of each: the study's own numbers are of a thousand."""
    job = make_job(tmp_path, replace(SMALL, episodes=40, cells=20, scenes=40))
    for part in ("autofocus", "exposure", "both"):
        study.PARTS[part](job)
    found = measured(job)
    assert found["autofocus.success"] >= 0.95
    assert found["autofocus.mean_steps"] <= 2.5
    assert found["autofocus.sharp_at_start"] <= 0.2
    assert found["exposure.success"] >= 0.95
    assert found["exposure.mean_steps"] <= 1.5
    assert found["exposure.best_fixed"] <= 0.5
    assert found["both.detection_recovered"] >= 0.95
    config = job.config
    ratio = found["autofocus.mean_steps"] / measuring.sweeps(config).full
    assert found["autofocus.time_ratio"] == pytest.approx(ratio), "both take 5 s for a picture"


def test_no_policy_that_ships_needs_another_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """BRISQUE is in the rewards of the paper's preset, which nobody counts here."""

    def missing(*args: Any) -> None:
        raise vm.InputError('pip install "visuomotor[brisque]"')

    monkeypatch.setattr("visuomotor.tasks.camera_reader.Brisque.load", missing)
    for name in names():
        load_policy(name)
    study.autofocus_paper(make_job(tmp_path))
    found = measured(make_job(tmp_path))
    assert found["autofocus_paper.success"] >= 0.8
    assert found["autofocus_paper.mean_steps"] <= 3


def test_the_papers_preset_does_not_call_sharp_what_it_only_detected() -> None:
    env = measuring.unseen_env(replace(SMALL, cells=4), load_policy("dasha-focus"))
    env.reset(seed=0)
    rig = env.instrument
    rig.exposure.move_to(rig.best_exposure_us(), np.arange(4))
    ends = control_camera(rig, load_policy("dasha-focus-paper"), start=30.0)
    assert {end.verdict for end in ends} <= {"detected", "no_object", "too_dark", "saturated"}
    assert "detected" in {end.verdict for end in ends}


def test_a_recording_that_is_absent_is_said_so(tmp_path: Path) -> None:
    told: list[str] = []
    job = replace(make_job(tmp_path, replace(SMALL, grid_data="nowhere")), say=told.append)
    study.grid(job)
    assert told == ["grid: left out, as nowhere is not there"]
    assert not job.results.exists()


# -- what is trained -------------------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every training of the study, so short that it learns nothing."""
    small = {
        name: replace(
            preset,
            learning=replace(
                QUICK, agent=replace(QUICK.agent, network=preset.learning.agent.network)
            ),
            task=replace(preset.task, max_steps=2),
            scenes=4,
            tested_scenes=4,
        )
        for name, preset in learning.PRESETS.items()
        if name != "paper focus"  # needs the model of BRISQUE
    }
    monkeypatch.setattr(learning, "PRESETS", small)
    compared = partial(comparing.ComparedConfig, scenes=4)
    monkeypatch.setattr(comparing, "ComparedConfig", compared)
    monkeypatch.setattr(comparing, "LEARNING", dict.fromkeys(comparing.LEARNING, QUICK))
    short = {name: replace(task, max_steps=4) for name, task in comparing.PRESETS.items()}
    monkeypatch.setattr(comparing, "PRESETS", short)


def test_what_was_trained_is_joined_and_acts_as_its_parts(tmp_path: Path, quick: None) -> None:
    job = make_job(tmp_path)
    for part in ("train_exposure", "train_focus", "join"):
        study.PARTS[part](job)
    folder = job.runs / "anikina2021"
    high, low = (load_policy(folder / f"{name}-untried") for name in ("exposure", "focus"))
    both = load_checkpoint(folder / "both" / "policy.safetensors")
    assert isinstance(high, UntriedPolicy)
    assert isinstance(low, UntriedPolicy)
    assert isinstance(both.policy, HierarchicalPolicy)
    assert both.policy.spec.config["detector"] == low.spec.config["detector"] == "default"
    space = measuring.unseen_env(job.config, both.policy).task.observation_space
    draws = np.random.default_rng(0)
    seen = {key: draws.normal(size=(9, *one.shape)).astype("f4") for key, one in space.items()}
    fresh = np.ones(9, bool)
    acted = both.policy.act(seen, both.policy.begin(None, fresh), draws).action
    exposure = high.act(seen, high.begin(None, fresh), draws).action
    lens = low.act(seen, low.begin(None, fresh), draws).action
    np.testing.assert_array_equal(acted, np.concatenate([exposure[:, None], lens], 1))
    found = measured(job)
    assert {f"training.{one}.minutes" for one in ("exposure", "focus")} <= found.keys()
    before = (folder / "focus" / "policy.safetensors").stat().st_mtime_ns
    study.PARTS["train_focus"](job)
    assert (folder / "focus" / "policy.safetensors").stat().st_mtime_ns == before, "not again"


def test_the_methods_of_table_1_are_trained_and_tested(tmp_path: Path, quick: None) -> None:
    job = make_job(tmp_path)
    comparing.compared(job)
    found, time = measured(job), job.config.time
    for key, pictures in (("phase_shift", 0), ("tenengrad", measuring.sweeps(job.config).full)):
        steps = found[f"{key}.mean_steps"]
        assert 1 <= steps <= 4
        assert found[f"{key}.seconds"] == pytest.approx(
            steps * time.step_s + pictures * time.sweep_s
        )
    drawing.figure3(job)
    assert (tmp_path / "figure3.png").stat().st_size > 10_000


# -- what is drawn ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["figure4", "figure5", "figure6", "figure7", "gradcam", "beyond"])
def test_pictures_are_drawn(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "LIGHTS_LX", (13.0, 300.0))
    monkeypatch.setattr(drawing, "FIGURE7_LX", (13.0, 300.0))
    monkeypatch.setattr(drawing, "APERTURES", (2.0,))
    job = make_job(tmp_path)
    drawing.FIGURES[name](job)
    picture = mpl.image.imread(tmp_path / f"{name}.png")
    assert min(picture.shape[:2]) > 100
    assert picture[..., :3].std() > 0.05, "not a blank page"
    if name == "beyond":
        found = measured(job)
        assert found.keys() == {
            f"beyond.{kind}.{who}.detected"
            for kind in drawing.WEATHER
            for who in ("agents", "auto", "best_setting")
        }


def test_what_decides_is_where_the_picture_is_not_even() -> None:
    """Of a picture that is even outside one place, that place tells for an action most."""
    policy = load_policy("dasha")
    assert isinstance(policy, HierarchicalPolicy)
    assert isinstance(policy.high, UntriedPolicy)
    assert isinstance(policy.low, UntriedPolicy)
    env = measuring.unseen_env(replace(SMALL, cells=1), policy)
    rollout = Rollout(policy, env, np.random.default_rng(0))
    rollout.reset(0)
    observation = env.current()[0]
    picture = env.instrument.camera.grab(np.array([0]))[0]
    flat = np.full_like(picture, 100)
    flat[8:40, 8:40] = np.random.default_rng(0).integers(0, 255, (32, 32))
    network: Any = encoder("small")
    before = network(picture[None])
    for agent, count in ((policy.high.trained, 1), (policy.low.trained, 2)):
        action = np.atleast_1d(agent.act(observation, None, np.random.default_rng(0)).action[0])
        assert action.shape == (count,)
        weight = looking.attention(agent, observation, picture, action)
        assert weight.shape == picture.shape
        assert (weight.min() >= 0, weight.max()) == (True, 1.0)
        weight = looking.attention(agent, observation, flat, action)
        assert weight[:48, :48].mean() > 2 * weight.mean()
    np.testing.assert_array_equal(network(picture[None]), before)
    assert all(one.grad is None for one in network.network.parameters()), "nothing is left behind"


def test_attention_is_of_agents_that_see_the_encoders_features() -> None:
    policy = load_policy("dasha")
    assert isinstance(policy, HierarchicalPolicy)
    assert isinstance(policy.high, UntriedPolicy)
    picture, action = np.zeros((80, 80), np.uint8), np.zeros(1, np.int64)
    for other in (AutoExposure(policy.spec), load_policy("focus")):
        with pytest.raises(vm.InputError, match=f"learned agent .* got {type(other).__name__}"):
            looking.attention(other, {}, picture, action)
    with pytest.raises(vm.InputError, match=r"64 pixels or more each way, got \(80, 20\)"):
        looking.attention(policy.high.trained, {}, picture[:, :20], action)


def test_without_runs_there_are_no_curves(tmp_path: Path) -> None:
    told: list[str] = []
    drawing.figure3(replace(make_job(tmp_path), say=told.append))
    assert "there are no runs in" in told[0]
    assert not (tmp_path / "figure3.png").exists()


# -- what is kept ----------------------------------------------------------------------------------


def test_the_results_that_are_kept_are_whole() -> None:
    for row in results.read(Path(study.__file__).with_name("results.json")):
        assert row.commit
        assert not row.commit.endswith("+"), f"{row.metric}: measured with files changed"


def test_the_readme_says_what_was_measured() -> None:
    folder = Path(study.__file__).parent
    ours = {row.metric: row.ours for row in results.read(folder / "results.json")}
    text = (folder / "README.md").read_text(encoding="utf-8")

    def percent(metric: str, digits: int = 1) -> str:
        return f"{100 * ours[metric]:.{digits}f} %".replace("100.0", "100")

    ratios = [round(1 / ours[f"autofocus.time_ratio{end}"]) for end in ("", "_two_stage")]
    for told in (
        f"| {ours['autofocus.mean_steps']:.2f}; {percent('autofocus.success')} |",
        f"| 1/{ratios[0]}; 1/{ratios[1]} |",
        f"| {ours['autofocus_paper.mean_steps']:.2f}; {percent('autofocus_paper.success')}; "
        f"{percent('autofocus_paper.sharp', 0)} |",
        f"| {ours['phase_shift.mean_steps']:.1f}, {ours['phase_shift.seconds']:.0f} s; "
        f"{percent('phase_shift.success')} |",
        f"| {ours['tenengrad.mean_steps']:.1f}, {ours['tenengrad.seconds']:,.0f} s; "
        f"{percent('tenengrad.success')} |",
        f"| {ours['exposure.mean_steps']:.2f}; {percent('exposure.success')} |",
        f"| {ours['exposure_anywhere.mean_steps']:.2f}; {percent('exposure_anywhere.success')} |",
        f"| {ours['exposure.auto.mean_steps']:.2f}; {percent('exposure.auto.success')} |",
        f"| {percent('exposure.best_fixed', 0)} |",
        f"| {percent('both.detection_recovered')} of 978, in {ours['both.mean_steps']:.1f} steps |",
        f"| {percent('grid.success')} in {ours['grid.exposures']:.0f} and "
        f"{ours['grid_relative.exposures']:.0f} of 50 pictures |",
        f"| {ours['training.exposure.minutes']:.0f} and {ours['training.focus.minutes']:.0f} min |",
    ):
        assert told in text
    for kind in drawing.WEATHER:
        agents, best = (ours[f"beyond.{kind}.{who}.detected"] for who in ("agents", "best_setting"))
        assert agents >= best
    for figure in folder.glob("*.png"):
        assert f"({figure.name})" in text
