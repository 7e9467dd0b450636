"""Every classical search keeps its promises, and the adapter changes nothing about them."""

from __future__ import annotations

import copy
import inspect
import math
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from focus_curves import Curve, gaussian, lorentzian, rough, spans, walk, with_start
from hypothesis import example, given, settings
from hypothesis import strategies as st

from visuomotor.agents.search import SearchPolicy, Span, find_search, searches
from visuomotor.agents.searches import bracketing, sweeps
from visuomotor.errors import InputError

NAMES = sorted(searches())
GENERATOR = np.random.default_rng(0)
every_search = pytest.mark.parametrize("name", NAMES)


PROMISES = {  # fine steps from the peak on a symmetric curve with one peak and no flat tails
    "full-sweep": 0.5,
    "two-stage-sweep": 0.5,
    "hill-climb": 1.0,
    "golden-section": 1.0,
    "brent": 1.0,
    "fibonacci": 1.0,
    "early-stop-sweep": 0.5,
    "gaussian-sweep": 1.0,
    "parabola-sweep": 1.0,
    "spline-sweep": 1.0,
    "continuous-sweep": 0.5,
}


def test_every_search_makes_a_promise() -> None:
    assert sorted(PROMISES) == NAMES


@every_search
@pytest.mark.parametrize("shape", [gaussian, lorentzian])
@settings(max_examples=150, deadline=None)
@given(place=spans(), relative_width=st.floats(0.2, 2.0))
@example(place=(Span(0.0, 186.0, 0.0, 7.75, 0.0), 175.0), relative_width=0.5)  # a hill cut off
def test_ends_at_the_peak(
    name: str,
    shape: Callable[[float, float], Curve],
    place: tuple[Span, float],
    relative_width: float,
) -> None:
    span, peak = place
    curve = shape(peak, relative_width * (span.high - span.low))
    span = with_start(span, curve)
    end = walk(searches()[name](span), curve).end
    assert abs(end - peak) <= (PROMISES[name] + 1e-3) * span.fine_step


@every_search
@settings(max_examples=100, deadline=None)
@given(place=spans(), seed=st.integers(0, 1000), kind=st.sampled_from(["rough", "narrow", "flat"]))
def test_stays_inside_and_ends_at_the_sharpest_seen(
    name: str, place: tuple[Span, float], seed: int, kind: str
) -> None:
    span, peak = place
    curves = {
        "rough": rough(seed),
        "narrow": gaussian(peak, 2 * span.fine_step),
        "flat": lambda position: 0.25,
    }
    span = with_start(span, curves[kind])
    walked = walk(searches()[name](span), curves[kind])
    assert all(span.low <= look <= span.high for look in walked.looks)
    best = max([span.sharpness_start, *walked.sharpness])
    assert curves[kind](walked.end) == best
    assert walked.end in [span.start, *walked.looks]
    assert len(walked.looks) <= 2 * math.ceil((span.high - span.low) / span.fine_step) + 2
    if kind == "flat":
        assert walked.end == span.start
    if kind == "narrow" and name == "full-sweep":
        assert abs(walked.end - peak) <= 0.501 * span.fine_step


@every_search
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("after", [0, 3])
def test_a_sharpness_that_is_not_finite_never_wins(name: str, bad: float, after: int) -> None:
    span = Span(0.0, 130.0, 20.0, 1.0, 0.5)
    good = [0.5 + 0.01 * count for count in range(after)]
    pending = iter(good)
    walked = walk(searches()[name](span), lambda position: next(pending, bad))
    assert all(0.0 <= look <= 130.0 for look in walked.looks)
    heard = dict(zip([span.start, *walked.looks], [0.5, *walked.sharpness], strict=True))
    assert heard[walked.end] == max([0.5, *good])


@every_search
def test_a_start_that_could_not_be_read_is_survived(name: str) -> None:
    curve = gaussian(60.0, 40.0)
    walked = walk(searches()[name](Span(0.0, 130.0, 20.0, 1.0, math.nan)), curve)
    assert curve(walked.end) == max(walked.sharpness)


@every_search
def test_a_range_of_one_position(name: str) -> None:
    walked = walk(searches()[name](Span(3.0, 3.0, 3.0, 1.0, 0.5)), lambda position: 0.5)
    assert walked.end == 3.0
    assert len(walked.looks) <= 1


@every_search
def test_a_start_outside_the_limits_ends_inside(name: str) -> None:
    curve = gaussian(12.0, 8.0)
    walked = walk(searches()[name](Span(0.0, 10.0, 11.0, 1.0, curve(11.0))), curve)
    assert all(0.0 <= look <= 10.0 for look in walked.looks)
    assert walked.end == 10.0


# ---- names


def test_searches_are_the_public_generator_functions() -> None:
    assert sorted(PROMISES) == NAMES
    assert all(inspect.getdoc(function) for function in searches().values())


def test_find_search_takes_unique_beginnings() -> None:
    assert find_search("two-stage") is sweeps.two_stage_sweep
    assert find_search("brent") is bracketing.brent
    with pytest.raises(InputError, match="no search called 'brend'; did you mean 'brent'"):
        find_search("brend")
    with pytest.raises(InputError, match="known: brent, continuous-sweep"):
        find_search("")


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("brent", {"tolerence": 1}, "brent has no option 'tolerence'; did you mean 'tolerance'"),
        ("brent", {"tolerance": 0}, "tolerance must be a finite number above 0, not 0"),
        ("golden", {"tolerance": math.nan}, "tolerance must be"),
        ("full", {"step": -1}, "step must be"),
        ("two-stage", {"coarse": math.inf}, "coarse must be"),
        ("two-stage", {"fine": 0}, "fine must be"),
        ("hill-climb", {"step": 2.5}, "step must be a whole number, not 2.5"),
        ("hill-climb", {"step": 0.5}, "step must be a whole number, not 0.5"),
        ("hill-climb", {"step": "9"}, "step must be a finite number above 0, not '9'"),
        ("brent", {"max_looks": 0}, "max_looks must be"),
        ("fibonacci", {"tolerance": 0}, "tolerance must be"),
        ("early-stop", {"fraction": 1.0}, "fraction must be below 1, not 1.0"),
        ("early-stop", {"past": 0.5}, "past must be a whole number, not 0.5"),
        ("gaussian", {"step": math.inf}, "step must be"),
        ("parabola", {"step": 0}, "step must be"),
        ("spline", {"step": "3"}, "step must be"),
        ("continuous", {"spacing": 0}, "spacing must be"),
        ("continuous", {"overshoot": -1}, "overshoot must be"),
    ],
)
def test_bad_options_are_refused_at_once(name: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        SearchPolicy(name, **options)


@pytest.mark.parametrize(
    "values",
    [(1.0, 0.0, 0.5, 0.1), (math.nan, 1.0, 0.5, 0.1), (0.0, 1.0, 0.5, 0.0), (0, 1, math.nan, 0.1)],
)
def test_a_span_that_makes_no_sense_is_refused(values: tuple[float, float, float, float]) -> None:
    with pytest.raises(InputError):
        Span(*values, sharpness_start=0.0)


# ---- the adapter


class FakeTask:
    """B axes and their curves, as the autofocus task would show them; counts exposures."""

    def __init__(self, curves: list[Curve], starts: list[float], snap: float = 0.0) -> None:
        self.curves = curves
        self.snap = snap
        self.position = np.array([self._executed(start) for start in starts])
        self.looks: list[list[float]] = [[position] for position in self.position]
        self.stopped = np.zeros(len(curves), dtype=bool)

    def _executed(self, target: float) -> float:
        return round(target / self.snap) * self.snap if self.snap else target

    def observe(self) -> dict[str, np.ndarray]:
        pairs = zip(self.curves, self.position, strict=True)
        return {
            "sharpness": np.array([curve(float(position)) for curve, position in pairs]),
            "position": self.position.copy(),
            "limits": np.tile([0.0, 130.0], (len(self.curves), 1)),
            "fine_step": np.ones(len(self.curves)),
        }

    def step(self, action: np.ndarray) -> None:
        assert action.shape == (len(self.curves), 2)
        assert action.dtype == np.float64
        assert np.isfinite(action).all()
        assert set(action[:, 1]) <= {0.0, 1.0}
        for cell, (target, stop) in enumerate(action):
            if self.stopped[cell]:
                assert stop == 1.0
                assert target == self.position[cell]
            elif stop:
                assert target == self.position[cell]
                self.stopped[cell] = True
            else:
                assert 0.0 <= target <= 130.0
                self.position[cell] = self._executed(target)
                self.looks[cell].append(float(self.position[cell]))


def run(policy: SearchPolicy, task: FakeTask, extra_steps: int = 2) -> None:
    state = policy.begin(None, np.ones(len(task.curves), dtype=bool))
    while not task.stopped.all() or (extra_steps := extra_steps - 1) >= 0:
        assert max(map(len, task.looks)) < 4096
        act = policy.act(task.observe(), state, GENERATOR)
        state = act.state
        task.step(act.action)


PEAKS = [10.0, 40.3, 77.0, 130.0, 64.0]
STARTS = [120.0, 40.0, 3.0, 0.0, 64.0]
CURVES = [gaussian(peak, 45.0) for peak in PEAKS]


@every_search
def test_the_adapter_equals_the_generators_one_by_one(name: str) -> None:
    task = FakeTask(CURVES, STARTS)
    run(SearchPolicy(name), task)
    for cell, curve in enumerate(CURVES):
        walked = walk(searches()[name](Span(0, 130, STARTS[cell], 1, curve(STARTS[cell]))), curve)
        expected = [STARTS[cell], *walked.looks]
        if expected[-1] != walked.end:
            expected.append(walked.end)  # going back is a motion and an exposure
        assert task.looks[cell] == expected
        assert task.position[cell] == walked.end


@every_search
def test_on_an_axis_that_snaps_it_ends_at_the_best_executed_position(name: str) -> None:
    curves = [rough(seed) for seed in range(5)]
    task = FakeTask(curves, STARTS, snap=2.0)
    run(SearchPolicy(name), task)
    for curve, looks, end in zip(curves, task.looks, task.position, strict=True):
        assert curve(float(end)) == max(map(curve, looks))


@every_search
@pytest.mark.parametrize("after", [0, 1, 4])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_lost_picture_ends_the_search_at_the_best_seen(name: str, after: int, bad: float) -> None:
    heard: list[float] = []

    def curve(position: float) -> float:
        heard.append(gaussian(50.0, 40.0)(position) if len(heard) < after else bad)
        return heard[-1]

    task = FakeTask([curve], [45.0])
    run(SearchPolicy(name), task)
    looks = task.looks[0]
    assert len(looks) <= after + 2
    good = [gaussian(50.0, 40.0)(look) for look in looks[:after]]
    assert task.position[0] == (looks[int(np.argmax(good))] if good else 45.0)


def test_a_cell_without_any_reading_stops_at_once_with_a_valid_action() -> None:
    policy = SearchPolicy("brent")
    task = FakeTask(CURVES[:1], [5.0])
    seen = task.observe() | {"position": np.array([np.nan]), "sharpness": np.array([np.nan])}
    act = policy.act(seen, policy.begin(None, np.array([True])), GENERATOR)
    assert act.action.tolist() == [[65.0, 1.0]]


def test_begin_empties_the_fresh_cells_only() -> None:
    policy = SearchPolicy("hill-climb")
    task = FakeTask(CURVES, STARTS)
    state = policy.begin(None, np.ones(5, dtype=bool))
    for _ in range(3):
        act = policy.act(task.observe(), state, GENERATOR)
        state = act.state
        task.step(act.action)
    kept = list(state)
    begun = policy.begin(state, np.array([False, True, False, False, True]))
    assert state == kept
    assert [cell is None for cell in begun] == [False, True, False, False, True]
    assert begun[0] is kept[0]


@every_search
@pytest.mark.parametrize(
    "copied", [lambda s: s, copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s))]
)
def test_an_old_state_can_be_used_again_copied_and_stored(
    name: str, copied: Callable[[object], object]
) -> None:
    policy = SearchPolicy(name)
    task = FakeTask(CURVES, STARTS)
    state = policy.begin(None, np.ones(5, dtype=bool))
    for _ in range(6):
        kept = copied(state)
        observation = task.observe()
        act = policy.act(observation, state, GENERATOR)
        elsewhere = observation | {"sharpness": observation["sharpness"] / 2}
        policy.act(elsewhere, act.state, GENERATOR)  # another branch must not disturb this one
        policy.act(elsewhere, state, GENERATOR)
        again = policy.act(observation, kept, GENERATOR)
        np.testing.assert_array_equal(again.action, act.action)
        state = act.state
        task.step(act.action)


def test_the_spec_asks_for_what_it_reads() -> None:
    policy = SearchPolicy("two-stage", coarse=5)
    keys = ["sharpness", "position", "limits", "fine_step"]
    assert policy.name == "two-stage-sweep"
    assert policy.options == {"coarse": 5}
    assert policy.spec.task == "autofocus"
    assert policy.spec.version == 1
    assert list(policy.spec.observation) == keys
    assert policy.spec.config == {"actions": "position", "observation": keys, "max_steps": 4096}
