"""Each classical search on its own: where it looks, and how often."""

from __future__ import annotations

import math

import numpy as np
import pytest
from focus_curves import Curve, gaussian, lorentzian, rough, spans, walk, with_start
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from visuomotor.agents.search import Span, searches
from visuomotor.agents.searches import bracketing, climbing, fitted_sweeps, sweeps


def test_full_sweep_looks_at_every_grid_point_from_the_nearer_end() -> None:
    curve = gaussian(7.0, 3.0)
    up = walk(sweeps.full_sweep(Span(0.0, 10.0, 2.0, 1.0, curve(2.0))), curve)
    down = walk(sweeps.full_sweep(Span(0.0, 10.0, 8.0, 1.0, curve(8.0))), curve)
    assert up.looks == [0, 1, 3, 4, 5, 6, 7, 8, 9, 10]  # the start is known already
    assert down.looks == [10, 9, 7, 6, 5, 4, 3, 2, 1, 0]
    ragged = walk(sweeps.full_sweep(Span(0.0, 10.0, 0.0, 1.0, 0.0), step=4), curve)
    assert ragged.looks == [4, 8, 10]


def test_two_stage_sweep_is_coarse_then_fine() -> None:
    curve = gaussian(31.0, 10.0)
    walked = walk(sweeps.two_stage_sweep(Span(0.0, 50.0, 0.0, 1.0, curve(0.0)), coarse=10), curve)
    assert walked.looks[:5] == [10, 20, 30, 40, 50]
    assert walked.looks[5:] == [39, 38, 37, 36, 35, 34, 33, 32, 31, *range(29, 20, -1)]
    assert walked.end == 31.0


def test_hill_climb_turns_round_halves_and_never_looks_twice() -> None:
    curve = gaussian(20.0, 30.0)
    walked = walk(climbing.hill_climb(Span(0.0, 100.0, 10.0, 1.0, curve(10.0)), step=8), curve)
    assert walked.looks == [18, 26, 22, 14, 16, 20, 19, 21]
    assert walked.end == 20.0


@settings(max_examples=100, deadline=None)
@given(place=spans(), seed=st.integers(0, 1000), step=st.integers(1, 40))
def test_hill_climb_ends_on_a_local_maximum(
    place: tuple[Span, float], seed: int, step: int
) -> None:
    span = with_start(place[0], rough(seed))
    walked = walk(climbing.hill_climb(span, step=step), rough(seed))
    assert len(set(walked.looks)) == len(walked.looks)
    assert span.start not in walked.looks
    known = [span.start, *walked.looks]
    near = 1.00001 * span.fine_step
    if walked.end - span.low > 1e-5 * span.fine_step:  # else the limit is the same place
        assert any(0 < walked.end - look <= near for look in known)
    if span.high - walked.end > 1e-5 * span.fine_step:  # else the limit is the same place
        assert any(0 < look - walked.end <= near for look in known)


def test_golden_section_needs_as_many_looks_as_it_always_does() -> None:
    counts = set()
    for peak in range(0, 131, 10):
        curve = gaussian(peak, 50.0)
        counts.add(len(walk(bracketing.golden_section(Span(0, 130, 65, 1.0, 0.0)), curve).looks))
    assert counts == {1 + math.ceil(math.log(130) / math.log(1.618034))}


def fibonacci_looks(parts: float) -> int:
    """m - 2 for the first Fibonacci number F(m), from F(4) = 3 on, that is at least ``parts``."""
    numbers = [2, 3]
    while numbers[-1] < parts:
        numbers.append(numbers[-1] + numbers[-2])
    return len(numbers)


@settings(max_examples=200, deadline=None)
@given(place=spans(), shape=st.sampled_from([gaussian, lorentzian]), width=st.floats(0.3, 2.0))
def test_fibonacci_always_takes_the_known_number_of_looks(place, shape, width) -> None:
    span, peak = place
    size = span.high - span.low
    curve = shape(peak, width * size)
    span = Span(span.low - 1e-3, span.high, span.low - 1e-3, span.fine_step, math.nan)
    walked = walk(bracketing.fibonacci(span), curve)
    assert len(walked.looks) == fibonacci_looks((span.high - span.low) / span.fine_step - 1e-7)
    assert abs(walked.end - peak) <= 1.001 * span.fine_step


def test_fibonacci_looks_at_whole_parts_and_leaves_the_smallest_bracket() -> None:
    curve = gaussian(5.0, 4.0)
    walked = walk(bracketing.fibonacci(Span(0.0, 13.0, 0.0, 1.0, 0.0)), curve)
    assert walked.looks == pytest.approx([5, 8, 3, 6, 4])
    assert walked.end == pytest.approx(5.0)
    golden = walk(bracketing.golden_section(Span(0.0, 13.0, 0.0, 1.0, 0.0), tolerance=2), curve)
    assert len(walked.looks) <= len(golden.looks)


def test_early_stop_ends_past_the_peak_and_not_before() -> None:
    curve = gaussian(30.0, 5.0)
    sweep = sweeps.early_stop_sweep
    walked = walk(sweep(Span(0.0, 100.0, 0.0, 1.0, curve(0.0))), curve)
    assert walked.looks == list(range(1, 38))  # 33 is the first below 0.85
    assert walked.end == 30.0
    soon = walk(sweep(Span(0.0, 100.0, 0.0, 1.0, curve(0.0)), past=1, fraction=0.5), curve)
    assert soon.looks[-1] == 36
    beyond = walk(sweep(Span(0.0, 100.0, 45.0, 1.0, curve(45.0))), curve)
    assert (beyond.looks[-1], beyond.end) == (37.0, 30.0)


def test_early_stop_goes_on_while_the_start_was_sharper() -> None:
    def two_hills(position: float) -> float:
        return 0.5 * gaussian(20.0, 4.0)(position) + gaussian(70.0, 4.0)(position)

    span = Span(0.0, 160.0, 72.0, 1.0, two_hills(72.0))
    assert walk(sweeps.early_stop_sweep(span), two_hills).end == 70.0
    blind = Span(0.0, 160.0, 0.0, 1.0, two_hills(0.0))
    assert walk(sweeps.early_stop_sweep(blind), two_hills).end == 20.0


FITTED = [
    fitted_sweeps.gaussian_sweep,
    fitted_sweeps.parabola_sweep,
    fitted_sweeps.spline_sweep,
]
every_fit = pytest.mark.parametrize("search", FITTED)


@every_fit
@pytest.mark.parametrize("pedestal", [0.0, 3.0])
def test_a_fit_takes_one_look_more_than_its_sweep_and_is_nearer(search, pedestal: float) -> None:
    for peak in np.linspace(5.0, 94.0, 41):
        hill = gaussian(peak, 5.0)

        def curve(position: float, hill: Curve = hill) -> float:
            return pedestal + hill(position)

        walked = walk(search(Span(0.0, 99.0, 0.0, 1.0, math.nan)), curve)
        assert walked.looks[:34] == pytest.approx(list(range(0, 100, 3)))
        assert len(walked.looks) in (34, 35)
        assert abs(walked.end - peak) <= 0.15


def test_a_gaussian_is_found_exactly() -> None:
    curve = gaussian(37.4, 6.0)
    walked = walk(fitted_sweeps.gaussian_sweep(Span(0.0, 99.0, 0.0, 1.0, math.nan)), curve)
    assert walked.end == pytest.approx(37.4, abs=1e-4)


@every_fit
def test_a_fit_that_says_nothing_costs_no_look(search) -> None:
    curves: list[Curve] = [
        lambda position: 0.7,  # flat
        lambda position: 0.7 + 1e-3 * math.sin(position),  # hardly differs
        lambda position: position,  # the peak is at the end, or beyond it
        lambda position: math.nan if position > 50 else 1.0 + position,
    ]
    for curve in curves:
        walked = walk(search(Span(0.0, 99.0, 0.0, 1.0, math.nan)), curve)
        assert len(walked.looks) == 34


@every_fit
def test_a_saturated_top_is_survived(search) -> None:
    def plateau(position: float) -> float:
        return float(30 <= position <= 70)

    assert plateau(walk(search(Span(0.0, 99.0, 0.0, 1.0, math.nan)), plateau).end) == 1.0


def test_a_gaussian_that_does_not_follow_the_looks_is_not_believed() -> None:
    single = walk(
        fitted_sweeps.gaussian_sweep(Span(0.0, 99.0, 0.0, 1.0, math.nan)),
        lambda position: float(abs(position - 51.0) < 1.0),
    )
    assert (len(single.looks), single.end) == (34, 51.0)
    believed = 0
    for seed in range(30):
        curve = rough(seed)
        walked = walk(fitted_sweeps.gaussian_sweep(Span(0.0, 99.0, 0.0, 1.0, math.nan)), curve)
        believed += len(walked.looks) == 35
    assert believed < 10


@every_fit
def test_a_fit_on_noisy_looks_stays_near_the_peak(search) -> None:
    generator = np.random.default_rng(1)
    errors = []
    for peak in generator.uniform(20, 80, 40):
        hill = gaussian(peak, 6.0)
        walked = walk(
            search(Span(0.0, 99.0, 0.0, 1.0, math.nan)),
            lambda position, hill=hill: hill(position) + 0.01 * generator.standard_normal(),
        )
        errors.append(abs(walked.end - peak))
    assert max(errors) <= 2.0
    assert np.mean(errors) <= 0.8


def test_continuous_sweep_passes_once_and_comes_back_from_its_side() -> None:
    curve = gaussian(31.0, 6.0)
    up = walk(fitted_sweeps.continuous_sweep(Span(0.0, 60.0, 10.0, 1.0, curve(10.0))), curve)
    assert up.looks[:30] == pytest.approx([k for k in range(0, 61, 2) if k != 10])
    assert up.looks[30:] == pytest.approx([26.0, 31.0], abs=0.05)
    down = walk(fitted_sweeps.continuous_sweep(Span(0.0, 60.0, 50.0, 1.0, curve(50.0))), curve)
    assert down.looks[:30] == pytest.approx([k for k in range(60, -1, -2) if k != 50])
    assert down.looks[30:] == pytest.approx([36.0, 31.0], abs=0.05)


def test_continuous_sweep_says_that_its_looks_are_taken_in_motion() -> None:
    marked = [
        name for name, search in searches().items() if vars(search).get("looks_in_motion", False)
    ]
    assert marked == ["continuous-sweep"]


@settings(max_examples=400, deadline=None)
@given(
    low=st.floats(-1000, 1000),
    width=st.floats(1e-3, 1000),
    peak=st.floats(-0.2, 1.2),
    relative_width=st.floats(0.02, 3),
    tolerance=st.floats(1e-4, 300),
    fine=st.floats(1e-4, 1),
    kind=st.sampled_from(["gaussian", "lorentzian", "parabola", "wavy", "rough", "flat", "stairs"]),
    seed=st.integers(0, 10_000),
    max_looks=st.sampled_from([2, 3, 7, 500]),
)
def test_brent_looks_where_scipy_looks_to_the_last_bit(
    low: float,
    width: float,
    peak: float,
    relative_width: float,
    tolerance: float,
    fine: float,
    kind: str,
    seed: int,
    max_looks: int,
) -> None:
    high = low + width
    top, scale = low + peak * width, relative_width * width
    curve: Curve = {
        "gaussian": gaussian(top, scale),
        "lorentzian": lorentzian(top, scale),
        "parabola": lambda position: -((position - top) ** 2),
        "wavy": lambda position: math.sin(9 * (position - top) / scale) + position / width,
        "rough": rough(seed),
        "flat": lambda position: 0.5,
        "stairs": lambda position: float(round(8 * gaussian(top, scale)(position))),
    }[kind]
    span = Span(low, high, low, fine * width / 10, curve(low))
    theirs: list[float] = []

    def blur(position: float) -> float:
        theirs.append(float(position))
        return -curve(float(position))

    minimize_scalar(
        blur,
        bounds=(low, high),
        method="bounded",
        options={"xatol": tolerance * span.fine_step, "maxiter": max_looks},
    )
    walked = walk(bracketing.brent(span, tolerance=tolerance, max_looks=max_looks), curve)
    assert walked.looks == theirs


def test_brent_with_defaults_takes_half_a_fine_step_as_xatol() -> None:
    curve = gaussian(4.7, 2.0)
    theirs: list[float] = []

    def blur(position: float) -> float:
        theirs.append(float(position))
        return -curve(float(position))

    minimize_scalar(blur, bounds=(0.0, 13.0), method="bounded", options={"xatol": 0.1 / 2})
    assert walk(bracketing.brent(Span(0.0, 13.0, 1.0, 0.1, curve(1.0))), curve).looks == theirs


@pytest.mark.parametrize("width", [20.0, 30.0, 40.0, 50.0, 65.0])
def test_brent_needs_few_looks_on_a_clean_gaussian(width: float) -> None:
    counts = []
    for peak in range(131):
        curve = gaussian(peak, width)
        span = Span(0.0, 130.0, 65.0, 1.0, curve(65.0))
        walked = walk(bracketing.brent(span), curve)
        assert abs(walked.end - peak) <= 1.0
        counts.append(len(walked.looks))
    print(f"Brent on a Gaussian of width {width}: mean {np.mean(counts):.2f}, max {max(counts)}")
    assert 6.8 <= np.mean(counts) <= 8.5
    assert max(counts[7:-7]) <= 9
    assert max(counts) <= 13  # a peak at the very end is crept up to, by scipy as well
