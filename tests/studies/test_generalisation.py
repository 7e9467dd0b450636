"""The benchmark on unseen samples: what is frozen stays, episodes are scored as they say."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import visuomotor as vm
from visuomotor import results
from visuomotor.agents.search import SearchPolicy, searches
from visuomotor.configs import from_plain, to_plain
from visuomotor.instruments.simulated.camera_lens import CameraLensConfig
from visuomotor.instruments.simulated.microscope import MicroscopeConfig
from visuomotor.instruments.simulated.specimens import kinds
from visuomotor.runner import FocusResult
from visuomotor.studies.generalisation import (
    drawing,
    episodes,
    measuring,
    real,
    scoring,
    searchers,
    study,
    unseen,
)
from visuomotor.studies.generalisation.scoring import Row, Summary, TimeConfig, Truth
from visuomotor.studies.job import Job
from visuomotor.tasks.judging import Verdict
from visuomotor.types import FocusCurve

TIME = TimeConfig()
VIEWS = unseen.unseen_views(200)
MICROSCOPES = [view for view in VIEWS if isinstance(view, MicroscopeConfig)]
LENSES = [view for view in VIEWS if isinstance(view, CameraLensConfig)]


# -- what is frozen --------------------------------------------------------------------------------


def test_version_1_of_the_unseen_views_stays_as_it_is() -> None:
    """If this fails, policies were compared on other views: make it a new UNSEEN_VERSION."""
    assert (unseen.UNSEEN_VERSION, unseen.UNSEEN_SEED) == (1, 2026)
    assert [
        unseen.digest(made)[:16]
        for made in (
            VIEWS,
            unseen.unseen_wide(100),
            unseen.unseen_blank(200),
        )
    ] == ["4e82acf97a8ad8f5", "3aa2cedc27a5578c", "cc4c8f82948fbf44"]


def test_a_view_depends_on_its_number_alone() -> None:
    assert unseen.unseen_views(20) == VIEWS[:20]
    assert unseen.unseen_blank(3) == unseen.unseen_blank(5)[:3]
    assert unseen.unseen_views(2, seed=1) != VIEWS[:2]
    with pytest.raises(vm.InputError, match="at least 1 view, got 0"):
        unseen.unseen_views(0)


def test_slides_are_those_that_training_leaves_alone() -> None:
    seeds = [view.specimen.slide_seed for view in MICROSCOPES]
    seeds += [view.scene.slide_seed for view in LENSES]
    seeds += [view.noise_seed for view in VIEWS]
    assert min(seeds) >= unseen.FIRST_SLIDE == 1_000_000


def test_views_are_of_every_kind_and_optics() -> None:
    assert len(LENSES) == 50
    assert {view.specimen.kind for view in MICROSCOPES} == set(kinds())
    assert {view.scene.kind for view in LENSES} == set(kinds())
    optics = [view.optics for view in MICROSCOPES]
    assert {one.contrast for one in optics} == {"brightfield", "fluorescence", "phase"}
    assert {one.index for one in optics} == {1.0, 1.333, 1.515}
    apertures = [one.numerical_aperture for one in optics]
    assert min(apertures) < 0.12
    assert max(apertures) > 1.2
    spherical = [one.spherical_waves for one in optics]
    assert min(spherical) < -0.25
    assert max(spherical) > 0.25
    assert {view.sensor.bits for view in VIEWS} == {8, 12, 16}
    assert any(view.specimen.layers > 1 for view in MICROSCOPES)
    assert any(view.specimen.tilt_um for view in MICROSCOPES)
    assert any(view.scene.relief_steps for view in LENSES)
    assert any(view.jpeg_quality for view in LENSES)


@pytest.mark.parametrize(("views", "count"), [(VIEWS, 131), (unseen.unseen_wide(20), 1001)])
def test_every_range_counts_in_fine_steps_and_holds_focus(views: list, count: int) -> None:
    for view in views:
        assert len(view.positions) == count
        place = (view.drive.focus - view.drive.first) / (view.drive.last - view.drive.first)
        assert 0.1 <= place <= 0.9
        if isinstance(view, MicroscopeConfig):
            assert view.fine_step == pytest.approx(view.optics.depth_of_field_um / 4)


def test_starts_lie_in_every_part_of_the_range() -> None:
    starts = unseen.starts_of(3, 5, 131)
    assert np.array_equal(starts, np.rint(starts))
    assert np.array_equal(starts // 26.0001, np.arange(5))
    assert not np.array_equal(starts, unseen.starts_of(4, 5, 131))


# -- scoring ---------------------------------------------------------------------------------------

AT = np.arange(101.0)
HILL = FocusCurve(AT, 0.1 + np.exp(-0.5 * ((AT - 40) / 5) ** 2))
DARK = np.zeros(101, np.bool_)
TRUTH = Truth(HILL, 1.0, ((36.0, 44.0),), DARK)


def ended(
    position: float, verdict: Verdict = Verdict.FOCUSED, start: float = 20.0, exposures: int = 6
) -> FocusResult:
    looks = ((start, 0.1), (position, 1.0))
    return FocusResult(
        position=position,
        verdict=verdict,
        exposures=exposures,
        sharpness_start=0.1,
        sharpness_end=1.0,
        curve=looks,
        seconds=0.0,
        start=start,
        unit="um",
        travel=abs(position - start),
        policy_position=position,
        returned=False,
        reason="",
    )


def test_success_asks_for_the_verdict_the_depth_of_field_and_the_sharpness() -> None:
    good = scoring.score(ended(41.0), TRUTH, TIME)
    assert good.success
    assert (good.error_steps, good.travel_steps, good.exposures) == (1.0, 21.0, 6)
    assert not scoring.score(ended(41.0, Verdict.UNSURE), TRUTH, TIME).success
    blurred = scoring.score(ended(43.5), TRUTH, TIME)  # within the depth of field, not above 0.9
    assert blurred.sharpness < 0.9
    assert not blurred.success
    far = replace(TRUTH, focus=((41.5, 49.5),))  # sharp enough, but elsewhere
    assert not scoring.score(ended(41.0), far, TIME).success
    assert scoring.score(ended(41.0), replace(far, focus=((0.0, 1.0), (40.0, 42.0))), TIME).success


def test_who_ended_nowhere_is_scored_where_it_began() -> None:
    row = scoring.score(ended(math.nan, Verdict.ERROR), TRUTH, TIME)
    assert not row.success
    assert row.error_steps == 20
    assert not row.blurrier


def test_where_the_drive_errs_the_true_position_counts() -> None:
    assert not scoring.score(ended(41.0), TRUTH, TIME, position=52.0).success
    assert scoring.score(ended(52.0), TRUTH, TIME, position=41.0).success


def test_the_end_of_the_range_may_be_the_truth() -> None:
    one_sided = Truth(HILL, 1.0, ((-0.5, 0.5),), DARK, fraction=0.0, end=-1)
    assert scoring.score(ended(0.0, Verdict.AT_LIMIT), one_sided, TIME).success
    assert scoring.score(ended(0.0), one_sided, TIME).success
    assert not scoring.score(ended(0.0), replace(one_sided, beyond=True), TIME).success
    upper = replace(one_sided, focus=((99.5, 100.5),), end=1)
    assert scoring.score(ended(100.0, Verdict.AT_LIMIT), upper, TIME).success
    assert not scoring.score(ended(0.0, Verdict.AT_LIMIT), upper, TIME).success
    assert not scoring.score(ended(40.0, Verdict.AT_LIMIT), TRUTH, TIME).success


def test_blurrier_is_below_the_start_by_2_percent_of_the_range() -> None:
    slightly, clearly = (scoring.score(ended(x, start=35.0), TRUTH, TIME) for x in (34.9, 34.0))
    assert not slightly.blurrier
    assert clearly.blurrier


def test_the_omniscient_searcher_goes_the_shortest_way() -> None:
    # From 20: two coarse steps to 38, where it is above 0.9. From 40 nothing but the first look.
    assert scoring.score(ended(40.0, start=20.0), TRUTH, TIME).optimal_exposures == 3
    assert scoring.score(ended(40.0, start=40.0), TRUTH, TIME).optimal_exposures == 1


def test_modelled_time_counts_looks_moves_and_settling() -> None:
    time = TimeConfig(exposure_s=1, settle_s=2, speed_steps_per_s=10, compute_s=0.5)
    assert time.seconds(4, 20) == pytest.approx(4 * 1.5 + 4 * 2 + 2)
    assert time.seconds(4, 20, in_motion=True) == pytest.approx(4 * 1.5 + 2 * 2 + 2)
    assert time.seconds(1, 0, in_motion=True) == pytest.approx(3.5)
    with pytest.raises(vm.InputError, match="speed_steps_per_s"):
        TimeConfig(speed_steps_per_s=0)


def test_a_start_is_blind_where_nothing_within_a_coarse_step_beats_the_noise() -> None:
    flat = FocusCurve(AT, np.maximum(HILL.sharpness, 0.12))  # tails from 29 and 51 on
    tails = scoring.truth_of_view(flat, np.full(101, 0.01), 0.0, 1.0, 4.0).blind
    first, last = 27 - 9, 53 + 9  # a coarse step beside the first visible slope
    assert tails[: first - 2].all()
    assert tails[last + 2 :].all()
    assert not tails[first + 3 : last - 3].any()
    assert scoring.truth_of_view(flat, np.full(101, 10.0), 0.0, 1.0, 4.0).blind.all()
    assert scoring.truth_of_view(flat, np.zeros(101), 2.3, 1.0, 4.0).blind.all()  # all noise


def test_the_middle_of_a_flat_top_is_focus() -> None:
    top = FocusCurve(AT, np.where(np.abs(AT - 50) <= 6, 1.0, 0.1) + 1e-6 * AT)
    assert scoring.middle_of_peak(top) == 50.0
    assert top.best_position == 56.0
    two = FocusCurve(AT, np.where(np.isin(AT, (20, 60)), (AT == 60) * 0.02 + 1.0, 0.1))
    assert scoring.middle_of_peak(two) == 60.0


def test_noise_is_what_looks_differ_by_around_the_curve() -> None:
    random = np.random.default_rng(0)
    noisy = HILL.sharpness + 0.3 + random.normal(0, 0.02, 101)
    assert scoring.noise_of(noisy, HILL.sharpness) == pytest.approx(np.full(101, 0.02), rel=0.6)
    assert scoring.noise_of(HILL.sharpness + 1, HILL.sharpness) == pytest.approx(np.zeros(101))


@given(st.integers(1, 2000), st.floats(0, 1))
def test_wilsons_interval_holds_the_share_and_narrows(count: int, share: float) -> None:
    wins = round(share * count)
    low, high = scoring.wilson(wins, count)
    assert 0 <= low <= wins / count + 1e-12
    assert wins / count - 1e-12 <= high <= 1
    wider = scoring.wilson(wins, count), scoring.wilson(4 * wins, 4 * count)
    assert wider[1][1] - wider[1][0] < wider[0][1] - wider[0][0]


def test_wilsons_interval_of_a_known_case() -> None:
    assert scoring.wilson(95, 100) == pytest.approx((0.8882, 0.9785), abs=1e-4)


def row(**changes: object) -> Row:
    values = asdict(scoring.score(ended(41.0), TRUTH, TIME))
    return Row(**{**values, **changes})


def test_blind_starts_are_counted_apart() -> None:
    rows = [
        row(),
        row(success=False, exposures=10),
        row(success=False, verdict="no_sample", blurrier=True),
        row(blind=True, success=False, verdict="no_sample", exposures=100),
        row(blind=True, success=False, verdict="unsure"),
        row(blind=True),
        row(blind=True, success=False),
    ]
    s = scoring.summarise(rows)
    assert s.episodes == 3
    assert s.success == pytest.approx(1 / 3)
    assert s.exposures == pytest.approx(22 / 3)
    assert s.false_focused == pytest.approx(1 / 3)
    assert (s.no_sample, s.ended_blurrier) == pytest.approx((1 / 3, 1 / 3))
    assert s.verdicts == {"focused": 2, "no_sample": 1}
    assert s.blind_share == pytest.approx(4 / 7)
    assert s.blind_honest == pytest.approx(3 / 4)
    assert s.interval == scoring.wilson(1, 3)


def test_a_policy_is_compared_with_the_cheapest_that_succeeds_as_often() -> None:
    one = scoring.summarise([row()])
    found: dict[str, Summary] = {
        "a": replace(one, success=0.9, exposures=9.0),
        "b": replace(one, success=0.95, exposures=12.0),
        "c": replace(one, success=0.95, exposures=11.0),
    }
    assert scoring.cheapest_as_good(found, 0.85) == ("a", True)
    assert scoring.cheapest_as_good(found, 0.93) == ("c", True)
    assert scoring.cheapest_as_good(found, 0.99) == ("c", False)


# -- views and searchers ---------------------------------------------------------------------------


def test_searchers_are_found_by_their_names() -> None:
    assert set(searches()) < set(searchers.classical())
    brent = searchers.searcher(searchers.brent_at(2))
    assert isinstance(brent, SearchPolicy)
    assert brent.options == {"tolerance": 2.0}
    assert searchers.shipped(["no-such-policy", "yu2018-exp1"]) == ["yu2018-exp1"]
    assert searchers.looks_in_motion("continuous-sweep")
    assert not searchers.looks_in_motion("brent")
    with pytest.raises(vm.InputError, match="did you mean"):
        searchers.searcher("yu2018-exp9")


@pytest.mark.parametrize("number", [2, 3])  # a microscope's and a lens'
def test_searchers_on_an_unseen_view(number: int) -> None:
    case = episodes.recorded_case(VIEWS[number], number, unseen.starts_of(number, 4, 131))
    names = ["stop-at-once", "random", "full-sweep"]
    rows = episodes.rows_of_case(case, names, TIME)
    assert all(row.success for row in rows["full-sweep"])
    assert {row.exposures for row in rows["stop-at-once"]} == {1}
    assert not any(row.success for row in rows["stop-at-once"])
    assert rows["random"] == episodes.rows_of_case(case, names, TIME)["random"]
    view = VIEWS[number]
    (stretch,) = case.truth.focus
    assert stretch[1] - stretch[0] == pytest.approx(2 * 4 * view.fine_step)
    assert abs(sum(stretch) / 2 - view.drive.focus) < 8 * view.fine_step


def test_a_wide_range_renders_what_is_looked_at() -> None:
    (view,) = unseen.unseen_wide(1)
    case = episodes.wide_case(view, 0, np.array([100.0]))
    assert len(case.truth.curve.positions) < 150
    rows = episodes.rows_of_case(case, ["golden-section"], TIME)["golden-section"]
    assert rows[0].exposures < 40
    assert rows[0].start_steps == pytest.approx(100)


def test_disturbed_episodes_end_where_the_drive_truly_is(monkeypatch) -> None:
    case = episodes.clean_case(VIEWS[4], 4, np.array([30.0, 90.0]))
    slipping = measuring.scaled(measuring.PRESETS["slip"], 4)
    rows = episodes.rows_of_case(case, ["golden-section"], TIME, slipping)["golden-section"]
    believed = episodes.results_of(case, "golden-section")
    assert rows == episodes.rows_of_case(case, ["golden-section"], TIME, slipping)["golden-section"]
    straight = [scoring.score(result, case.truth, TIME, 4) for result in believed]
    assert all(one.success for one in straight)
    assert [one.error_steps for one in rows] != [one.error_steps for one in straight]


@pytest.mark.parametrize("number", [0, 1])
def test_a_peak_outside_the_range_asks_for_at_limit(number: int) -> None:
    case = episodes.clean_case(VIEWS[number], number, np.array([20.0, 100.0]), away_steps=12)
    assert case.truth.end in (-1, 1)
    assert not case.truth.in_focus(np.array([VIEWS[number].drive.focus]))[0]
    rows = episodes.rows_of_case(case, ["full-sweep", "stop-at-once"], TIME)
    assert {(row.verdict, row.success) for row in rows["full-sweep"]} == {("at_limit", True)}
    assert not any(row.success for row in rows["stop-at-once"])


def test_blank_fields_show_no_sample() -> None:
    config = measuring.StudyConfig()
    for number in range(4):  # transmitted light, fluorescence, phase, none
        verdicts = measuring.on_blank(config, ["brent", "stop-at-once"], number)
        assert verdicts == {"brent": "no_sample", "stop-at-once": "no_sample"}


# -- real recordings -------------------------------------------------------------------------------


def test_tiles_of_real_sets_know_their_focus(shared_data: Path) -> None:
    assert set(real.present(shared_data)) == set(real.SETS)
    beads = list(real.real_cases(shared_data, "beads", 2))
    assert len(beads) == 1
    assert beads[0].truth.in_focus(np.array([23 * 0.125, 22 * 0.125])).tolist() == [True, False]
    tools = list(real.real_cases(shared_data, "tools", 3))
    assert len(tools) == 6
    for case in tools:
        assert case.truth.end == -1
        assert case.truth.in_focus(np.array([0.0, 3.0])).tolist() == [True, False]
        assert case.instrument(1).stack.interpolated_from == 6
    rows = episodes.rows_of_case(tools[0], ["full-sweep", "stop-at-once"], TIME)
    assert all(row.success for row in rows["full-sweep"])
    assert sum(row.success for row in rows["stop-at-once"]) <= 1


def test_a_thick_sample_is_judged_tile_by_tile(shared_data: Path) -> None:
    cases = list(real.real_cases(shared_data, "microtubules", 1))
    peaks = [case.truth.curve.best_position for case in cases]
    assert max(peaks) - min(peaks) > 10
    for case, peak in zip(cases, peaks, strict=True):
        assert case.truth.in_focus(np.array([peak]))[0]
        assert case.instrument(1).stack.interpolated_from is None


def test_the_empty_tile_is_left_out(shared_data: Path) -> None:
    assert len(list(real.real_cases(shared_data, "mitochondria", 1))) == 5  # of 6


# -- the study, small ------------------------------------------------------------------------------

SMALL = measuring.StudyConfig(
    views=1,
    starts=2,
    blanks=4,
    wide_views=1,
    wide_starts=1,
    wide_searches=("golden-section",),
    disturbed_views=1,
    disturbed_starts=1,
    disturbed_searches=("golden-section",),
    severities=(1.0,),
    brent_tolerances=(2.0,),
    data="nowhere",
    processes=1,
)


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(
        study="generalisation",
        config=SMALL,
        runs=tmp_path / "runs",
        results=tmp_path / "results.json",
        command="visuomotor study generalisation",
        say=lambda text: None,
    )


def kept(job: Job) -> dict[str, results.Result]:
    return {row.metric: row for row in results.read(job.results)}


def test_every_part_but_real_in_small(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["stop-at-once", "golden-section"]
    monkeypatch.setattr(study, "classical", lambda: names)
    monkeypatch.setattr(study, "shipped", lambda wanted: [])
    with pytest.raises(vm.InputError, match="expected rows of searches or disturbances"):
        study.figures(job)
    for part in study.PARTS:
        if part not in ("train_focus", "train_multiscale", "views"):  # these train
            study.PARTS[part](job)
    rows = kept(job)
    success = rows["unseen_sim.golden-section.success"]
    assert success.unit == "share of episodes"
    assert success.config["unseen_version"] == 1
    assert (success.config["views"], success.config["starts"]) == (1, 2)
    assert "Wilson" in success.note
    assert rows["unseen_sim.stop-at-once.exposures"].ours == 1
    assert rows["blank.golden-section.no_sample"].ours == 1
    assert rows["unseen_wide.golden-section.exposures"].ours < 40
    kinds_shown = {metric.split(".")[1] for metric in rows if metric.startswith("unseen_disturbed")}
    assert kinds_shown == {"none", "peak_outside", *measuring.PRESETS}
    assert "unseen_sim.success" not in rows, "no policy is shipped"
    assert {row.command.rpartition(" ")[2] for row in rows.values()} <= set(study.PARTS)
    for figure in ("searchers.png", "disturbances.png"):
        assert (job.results.parent / figure).stat().st_size > 10_000
    curves = drawing.curves_of(list(rows.values()))
    assert sorted(curves["slip"]["golden-section"])[0][0] == 0.0
    assert set(drawing.points_of(list(rows.values()))) == {*names, "brent_2"}


def test_a_shipped_policy_is_compared_with_brent(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study, "shipped", list)
    known = searchers.searcher
    stands_for = {"focus": "two-stage-sweep", "focus-multiscale": "golden-section"}
    monkeypatch.setattr(episodes, "searcher", lambda name: known(stands_for.get(name, name)))
    study._searches(job, [])
    rows = kept(job)
    ours, brent = (rows[f"unseen_sim.{name}.exposures"].ours for name in ("focus", "brent_2"))
    assert rows["unseen_sim.exposure_ratio"].ours == pytest.approx(ours / brent)
    assert "brent" in rows["unseen_sim.exposure_ratio"].note
    assert rows["unseen_sim.exposure_ratio_multiscale"].unit == "times"
    assert rows["unseen_sim.success"].ours == rows["unseen_sim.focus.success"].ours
    assert rows["unseen.ended_blurrier"].ours == 0
    assert rows["good.no_sample"].ours == 0


def test_what_is_not_shipped_or_not_there_is_said(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study, "shipped", lambda wanted: [])
    said: list[str] = []
    talking = replace(job, say=said.append)
    study.real(talking)
    assert study.evaluate_shipped(talking) is False
    assert "focus: left out: no such policy is shipped" in said
    assert any(line.startswith("unseen_real.pcb: left out: nowhere") for line in said)
    assert not job.results.exists()


def test_real_sets_are_averaged_over_sets(
    job: Job, shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets = {name: real.SETS[name] for name in ("beads", "usbcase")}
    monkeypatch.setattr(real, "SETS", sets)
    monkeypatch.setattr(study, "shipped", lambda wanted: [])
    monkeypatch.setattr(study, "SETS", sets)
    study._real(replace(job, config=replace(SMALL, data=str(shared_data))), ["full-sweep"])
    rows = kept(job)
    beads, usbcase = rows["unseen_real.full-sweep.sets"].ours
    assert (beads[0], usbcase[0]) == ("beads", "usbcase")
    assert rows["unseen_real.full-sweep.success"].ours == beads[1] == 1.0


def test_processes_change_nothing() -> None:
    squares = [list(episodes.in_processes(math.sqrt, [1, 4, 9], count)) for count in (1, 2)]
    assert squares == [[1, 2, 3], [1, 2, 3]]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"study": "yu2018"}, "config of generalisation, got one of 'yu2018'"),
        ({"severities": ()}, "severities: expected factors above 0"),
        ({"severities": (0.0,)}, "severities: expected factors above 0"),
        ({"views": 0}, "views: expected 1 to"),
    ],
)
def test_configs_that_make_no_sense_are_refused(change: dict, words: str) -> None:
    with pytest.raises(vm.InputError, match=words):
        replace(SMALL, **change)
    assert from_plain(measuring.StudyConfig, to_plain(SMALL), "test") == SMALL


# -- what was measured -----------------------------------------------------------------------------


def test_the_kept_results_are_whole_and_the_views_hard_enough() -> None:
    rows = results.read(Path(study.__file__).with_name("results.json"))
    for row in rows:
        assert row.commit
        assert not row.commit.endswith("+"), f"{row.metric}: measured with files changed"
    ours = {row.metric: row.ours for row in rows}
    assert ours["unseen_sim.stop-at-once.success"] < 0.1
    assert ours["unseen_sim.random.success"] < 0.1
    assert ours["unseen_sim.hill-climb.success"] < 0.9
    assert ours["unseen_sim.two-stage-sweep.success"] > 0.99, "they can be focused"


def test_the_readme_says_what_was_measured() -> None:
    folder = Path(study.__file__).parent
    ours = {row.metric: row.ours for row in results.read(folder / "results.json")}
    text = (folder / "README.md").read_text(encoding="utf-8")
    for name in searchers.classical():
        sim, tiles = f"unseen_sim.{name}", f"unseen_real.{name}"
        shares = [100 * ours[f"{sim}.{key}"] for key in ("success", "ended_blurrier")]
        start = f"| {name} | {shares[0]:.1f} % | {ours[f'{sim}.exposures']:.1f} |"
        end = f"| {100 * ours[f'{tiles}.success']:.1f} % | {ours[f'{tiles}.exposures']:.1f} |"
        (line,) = [line for line in text.splitlines() if line.startswith(start)]
        assert end in line
        assert f"| {shares[1]:.1f} % |" in line
    assert f"{100 * ours['unseen_sim.blind_share']:.0f} % begin blind" in text
    for name in measuring.StudyConfig().wide_searches:
        share, looks = (ours[f"unseen_wide.{name}.{key}"] for key in ("success", "exposures"))
        assert f"| {name} | {100 * share:.1f} % | {looks:.1f} |\n" in text
    one, most = (100 * ours[f"views.{key}.success"] for key in ("fields.1", "fields.512"))
    assert f"from {one:.0f} % with one view to {most:.0f} %" in text
    assert ours["views.slides.8.success"] >= ours["views.fields.128.success"]
