"""One procedurally made microscope view: what the demo focuses and ``yu2018-exp1`` learned on.

The optics are the textbook ones: an incoherent image is the specimen convolved with the squared
modulus of the Fourier transform of the pupil, whose phase holds defocus (rho^2) and a little
spherical aberration (rho^4), which is what makes "above" and "below" look different. Positions are
those of yu2018, experiment 1: 131 from 30.0 to 69.0 in units of the focusing knob.
"""

from __future__ import annotations

import numpy as np
from scipy import fft, ndimage

from visuomotor.instruments.recorded.focal_stack import FocalStack
from visuomotor.types import FloatArray

GRID_PX = 256
"""Size of the specimen; the picture is its middle, so that nothing wraps around into it."""
PICTURE_PX = 192
FIRST_KNOB, LAST_KNOB, FINE_STEP_KNOB = 30.0, 69.0, 0.3
FOCUS_KNOB = 48.6
DEFOCUS_WAVES_PER_KNOB = 0.2
SPHERICAL_WAVES = 0.25
PUPIL_RADIUS_PER_PX = 0.125
"""Coherent cut-off in cycles per pixel: pixels of a quarter of lambda / (2 NA), twice Nyquist."""
PHOTONS_AT_WHITE = 20_000.0


def demo_stack(seed: int = 0) -> FocalStack:
    """The demo's stack: (131, 192, 192) uint8, the same for the same seed on every machine up to
    rounding. Success is Tenengrad above 0.9 of the maximum, as in yu2018."""
    generator = np.random.default_rng(seed)
    specimen_spectrum = fft.rfft2(_stained_cells(generator))
    count = round((LAST_KNOB - FIRST_KNOB) / FINE_STEP_KNOB) + 1
    positions = FIRST_KNOB + FINE_STEP_KNOB * np.arange(count)
    margin = (GRID_PX - PICTURE_PX) // 2
    middle = slice(margin, margin + PICTURE_PX)
    planes = np.empty((count, PICTURE_PX, PICTURE_PX), np.uint8)
    for i, knob in enumerate(positions):
        image = fft.irfft2(specimen_spectrum * _transfer(knob - FOCUS_KNOB), (GRID_PX, GRID_PX))
        planes[i] = _camera(image[middle, middle], generator)
    return FocalStack(planes, positions, unit="knob", name="demo")


def _stained_cells(generator: np.random.Generator) -> FloatArray:
    """Transmission of a smear, (GRID, GRID) in 0..1: pale cell bodies, dark nuclei, fine grains."""
    y, x = np.mgrid[:GRID_PX, :GRID_PX].astype(np.float64)
    density = np.zeros((GRID_PX, GRID_PX))
    for _ in range(46):
        centre_y, centre_x = generator.uniform(0, GRID_PX, 2)
        # The specimen is periodic, as the Fourier transform takes it to be.
        dy = (y - centre_y + GRID_PX / 2) % GRID_PX - GRID_PX / 2
        dx = (x - centre_x + GRID_PX / 2) % GRID_PX - GRID_PX / 2
        angle, long, ratio = generator.uniform((0, 9, 0.6), (np.pi, 17, 1.0))
        along = dx * np.cos(angle) + dy * np.sin(angle)
        across = (dy * np.cos(angle) - dx * np.sin(angle)) / ratio
        radius = np.hypot(along, across)
        density += 0.25 * (radius < long) + 0.7 * (radius < 0.42 * long)
    grains = ndimage.gaussian_filter(generator.standard_normal(density.shape), 0.8, mode="wrap")
    coarse = ndimage.gaussian_filter(generator.standard_normal(density.shape), 12, mode="wrap")
    density *= 1 + 0.35 * grains / grains.std()
    density += 0.12 + 0.05 * coarse / coarse.std()
    return np.exp(-np.clip(density, 0, None))


def _transfer(defocus_knob: float) -> FloatArray:
    """Optical transfer function at this defocus, (GRID, GRID // 2 + 1), real-FFT layout."""
    fy = fft.fftfreq(GRID_PX)[:, None]
    fx = fft.fftfreq(GRID_PX)[None, :]
    rho2 = (fy**2 + fx**2) / PUPIL_RADIUS_PER_PX**2
    waves = DEFOCUS_WAVES_PER_KNOB * defocus_knob * rho2 + SPHERICAL_WAVES * (
        6 * rho2**2 - 6 * rho2 + 1
    )
    pupil = (rho2 <= 1) * np.exp(2j * np.pi * waves)
    point_spread = np.abs(fft.ifft2(pupil)) ** 2
    transfer = fft.rfft2(point_spread)
    return np.asarray(transfer / transfer[0, 0])


def _camera(image: FloatArray, generator: np.random.Generator) -> FloatArray:
    """Photon noise and 8 bits."""
    photons = generator.poisson(np.clip(image, 0, None) * PHOTONS_AT_WHITE)
    return np.asarray(np.clip(np.rint(photons / PHOTONS_AT_WHITE * 235), 0, 255))
