"""``visuomotor bench``: it measures, merges rows into files, and refuses before it measures.

How fast anything is, is no matter for a test.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import cv2
import pytest
import tifffile
from toys import blur_stack

import visuomotor.benchmarks
from visuomotor.agents.search import searches
from visuomotor.benchmarks import brisque, focus, focus_searches, micromanager
from visuomotor.benchmarks.measuring import Skipped, rows_of
from visuomotor.cli import main
from visuomotor.discovery import names_in
from visuomotor.errors import MissingExtraError
from visuomotor.results import read

BENCHMARKS = names_in("visuomotor.benchmarks", "Benchmark")
ROWS = rows_of(focus.Benchmark)
SMALL = ("cells=8", "steps=4", "sync_envs=4", "repeats=2", "decisions=3", "seeds=[0]")
SMALL += ("memory_steps=320", "sb3_buffer_size=300", "train.positions=31", "train.cells=16")
SMALL += ("train.steps=320", "train.evaluate_every=160", "train.warmup_steps=160")
SMALL += ("train.agent.batch=32", "train.task.frame_size_px=36", "train.threads=1")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    tifffile.imwrite("toy.tif", blur_stack().frames, photometric="minisblack")
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    try:
        main(["bench", *words])
        code = 0
    except SystemExit as stop:
        code = int(stop.code or 0)
    out, err = capsys.readouterr()
    return code, out, err


def measure(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, dict]:
    sizes = ("--stack", "toy.tif", "--budget-minutes", "0.02", "--set", *SMALL)
    code, out, err = run(capsys, "focus", *sizes, "--json", *words)
    assert code == 0, err
    return {row["metric"]: row for row in map(json.loads, out.splitlines())}


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_benchmark_has_rows_that_explain_themselves(name: str) -> None:
    module = importlib.import_module(f"visuomotor.benchmarks.{name}")
    rows = rows_of(module.Benchmark)
    assert rows
    assert all(meaning.endswith(".") for meaning in rows.values())
    assert module.CONFIG() == module.CONFIG()


def test_the_readme_explains_every_row() -> None:
    text = (Path(__file__).parent.parent / "benchmarks" / "README.md").read_text(encoding="utf-8")
    missing = [row for row in ROWS if f"`bench.{row}`" not in text]
    assert not missing


def test_without_a_name_it_lists(here: Path, capsys) -> None:
    code, out, _ = run(capsys)
    assert code == 0
    assert all(f"{row}: " in out for row in ROWS)
    assert json.loads(run(capsys, "--json")[1])["focus"] == ROWS
    assert not (here / "benchmarks").exists()


def test_quick_rows_side_by_side(here: Path, capsys) -> None:
    asked = [row for row in ROWS if row.startswith(("env", "sync", "tenengrad", "seconds"))]
    rows = measure(capsys, "--only", *asked)
    assert list(rows) == [f"bench.{row}" for row in asked]
    ours, theirs = (
        rows[f"bench.{name}env_steps_per_second"]["ours"] for name in ("", "sync_vector_")
    )
    ratio = rows["bench.env_ratio_to_sync_vector_env"]
    assert ratio["ours"] == pytest.approx(ours / theirs)
    assert ratio["n"] == 2
    assert ratio["config"]["cells"] == 8
    assert ratio["config"]["positions"] == 31
    ours, theirs = (rows[f"bench.tenengrad_2mp_{name}ms"]["ours"] for name in ("", "scipy_"))
    assert rows["bench.tenengrad_ratio_to_scipy"]["ours"] == pytest.approx(theirs / ours)
    guided, unguided = (rows[f"bench.seconds_to_100_{name}guided"] for name in ("", "un"))
    assert (guided["config"]["agent"]["guide"], unguided["config"]["agent"]["guide"]) == (0.5, 0)
    for row in (guided, unguided):
        assert "time steps" in row["note"]
        assert row["seeds"] == [0]
    file = here / "benchmarks" / "results.json"
    assert [row.metric for row in read(file)] == list(rows)


def test_rows_are_merged_into_every_file(here: Path, capsys) -> None:
    for _ in range(2):
        measure(capsys, "--only", "tenengrad_2mp_ms", "--out", "a.json", "deep/b.json")
    measure(capsys, "--only", "bench.tenengrad_2mp_scipy_ms", "--out", "a.json")
    assert [row.metric for row in read(here / "a.json")] == [
        "bench.tenengrad_2mp_ms",
        "bench.tenengrad_2mp_scipy_ms",
    ]
    (row,) = read(here / "deep" / "b.json")
    assert row.command.startswith("visuomotor bench focus --stack toy.tif")
    assert row.machine
    assert not (here / "benchmarks").exists()


def test_rows_of_processes_of_their_own(here: Path, capsys) -> None:
    rows = measure(capsys, "--only", "decision_ms", "peak_memory_gb")
    assert rows["bench.decision_ms"]["n"] == 3
    assert rows["bench.decision_ms"]["ours"] > 0
    assert 0.05 < rows["bench.peak_memory_gb"]["ours"] < 10
    assert "320 time steps" in rows["bench.peak_memory_gb"]["note"]


def test_stable_baselines3_beside_ours(here: Path, capsys) -> None:
    pytest.importorskip("stable_baselines3", reason="needs the extra [sb3]")
    rows = measure(capsys, "--only", "sb3_seconds_to_100", "sb3_ratio_unguided")
    theirs = rows["bench.sb3_seconds_to_100"]
    assert "time steps" in theirs["note"]
    assert theirs["config"]["stable_baselines3"]["buffer_size"] == 300
    assert "bench.sb3_ratio_unguided" in rows


def test_stable_baselines3_missing_is_said_before_measuring(
    here: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = "_stable_baselines3"
    monkeypatch.setitem(sys.modules, "stable_baselines3", None)
    monkeypatch.delitem(sys.modules, f"visuomotor.benchmarks.{part}", raising=False)
    monkeypatch.delattr(visuomotor.benchmarks, part, raising=False)
    code, out, err = run(capsys, "focus")
    assert code == 2
    assert 'pip install "visuomotor[sb3]"' in err
    assert "measuring" not in out
    assert not (here / "benchmarks").exists()


def test_a_row_that_cannot_be_measured_here_is_left_out(
    here: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decision_ms(self: focus.Benchmark) -> None:
        """No."""
        raise Skipped("this machine has no clock")

    monkeypatch.setattr(focus.Benchmark, "decision_ms", decision_ms)
    words = ("--only", "decision_ms", "tenengrad_2mp_ms", "--set", "repeats=1")
    code, out, _ = run(capsys, "focus", *words)
    assert code == 0
    assert "decision_ms is left out: this machine has no clock" in out
    assert [row.metric for row in read(here / "benchmarks/results.json")] == [
        "bench.tenengrad_2mp_ms"
    ]


def test_searches_on_unseen_views_are_a_table_of_their_own(
    here: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(focus_searches, "shipped", lambda wanted: [])
    asked = ["golden_section_success", "golden_section_exposures", "focus_success"]
    words = ("focus-searches", "--set", "views=1", "starts=2", "processes=1", "--only", *asked)
    code, out, err = run(capsys, *words)
    assert code == 0, err
    assert "focus_success is left out: no policy 'focus' is shipped" in out
    share, looks = read(here / "benchmarks/results.json")
    assert share.metric == "bench.golden_section_success"
    assert 1 <= share.n <= 2, "starts without a signal are left out"
    assert (share.unit, share.seeds) == ("share of episodes", (2026,))
    assert 5 < looks.ours < 20
    assert looks.config["unseen_version"] == 1
    assert share.command.startswith("visuomotor bench focus-searches --set views=1")


def test_every_search_has_rows_among_the_searches() -> None:
    rows = rows_of(focus_searches.Benchmark)
    for name in (*searches(), "stop-at-once", "random", "focus", "focus-multiscale"):
        assert {f"{name.replace('-', '_')}_{what}" for what in ("success", "exposures")} <= set(
            rows
        )


def brisque_package(folder: Path, offset: float) -> None:
    """One whose scores are ours and so much more, with a small model."""
    (folder / "brisque" / "models").mkdir(parents=True)
    vectors = "".join(f"{40 * i} {i}:0.5\n" for i in range(1, 37))
    header = (
        "svm_type epsilon_svr\nkernel_type rbf\ngamma 0.5\nnr_class 2\ntotal_sv 36\nrho 0\nSV\n"
    )
    (folder / "brisque" / "models" / "svm.txt").write_text(header + vectors, "utf-8")
    (folder / "brisque" / "__init__.py").write_text(
        f"""
from visuomotor.vision.quality import Brisque
import numpy as np
class BRISQUE:
    def scale_features(self, features):
        return [float(value) for value in features]  # as the package: NumPy 2.4 refuses arrays
    def score(self, picture):
        assert picture.ndim == 3
        found = Brisque.load().score(picture[None])
        return self.scale_features([found])[0] + {offset}
""",
        "utf-8",
    )


def test_brisque_beside_the_package(here: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    brisque_package(here, offset=0.25)
    monkeypatch.syspath_prepend(here)
    monkeypatch.delitem(sys.modules, "brisque", raising=False)
    threads = cv2.getNumThreads()
    words = ("brisque", "--set", "repeats=2", "height_px=40", "width_px=50")
    try:
        code, out, err = run(capsys, *words)
    finally:
        sys.modules.pop("brisque", None)  # the toy, not a real one
    assert code == 0, err
    rows = {
        row.metric.removeprefix("bench."): row for row in read(here / "benchmarks/results.json")
    }
    contrib = "brisque_opencv_ms_2mp"
    assert (contrib in rows) == hasattr(cv2, "quality")
    assert hasattr(cv2, "quality") or f"{contrib} is left out: this OpenCV has no cv2" in out
    assert set(rows) | {contrib} == set(rows_of(brisque.Benchmark))
    assert rows["brisque_worst_difference"].ours == pytest.approx(0.25, abs=0.01)
    assert "camera: " in rows["brisque_worst_difference"].note
    assert rows["brisque_pairs_out_of_order"].ours == 0
    assert rows["brisque_pairs_out_of_order"].n == 570
    assert rows["brisque_ratio_to_package"].n == 2
    assert cv2.getNumThreads() == threads


def test_brisque_without_the_package_code(
    here: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    brisque_package(here, offset=0)
    (here / "brisque" / "__init__.py").write_text("import no_libsvm_here", "utf-8")
    monkeypatch.syspath_prepend(here)
    monkeypatch.delitem(sys.modules, "brisque", raising=False)
    words = ("brisque", "--set", "repeats=1", "height_px=40", "width_px=50")
    code, out, err = run(capsys, *words)
    assert code == 0, err
    assert "brisque_worst_difference is left out: the package brisque does not run (No mod" in out
    metrics = {row.metric for row in read(here / "benchmarks/results.json")}
    assert metrics - {"bench.brisque_opencv_ms_2mp"} == {"bench.brisque_ms_2mp"}


def test_brisque_without_a_model_is_said_before_measuring(
    here: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "brisque", None)
    code, out, err = run(capsys, "brisque")
    assert code == 2
    assert 'pip install "visuomotor[brisque]"' in " ".join(err.split())
    assert "measuring" not in out


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (("focus-serches",), "did you mean 'focus-searches'?"),
        (("focus-searches", "--set", "views=0"), "views: expected 1 to"),
        (("brisque", "--set", "height_px=7"), "height_px: expected 8 to"),
        (("brisque", "--set", "model=none.txt"), "none.txt: expected a model of libsvm"),
        (("focsu",), "benchmark 'focsu' is not known; did you mean 'focus'?"),
        (("focus", "--only", "decision_s"), "did you mean 'decision_ms'?"),
        (("focus", "--set", "cell=3"), "--set: unknown key 'cell'; did you mean 'cells'?"),
        (("focus", "--set", "sync_envs=7"), "sync_envs: expected a divisor"),
        (("focus", "--set", "seeds=[]"), "seeds: expected at least one"),
        (("focus", "--budget-minutes", "-1"), "budget_minutes: expected 0"),
        (("focus", "--out", "broken.json"), "broken.json: expected a result file"),
        (("focus", "--stack", "nothing.tif"), "nothing.tif"),
    ],
)
def test_wrong_words_are_refused(here: Path, capsys, words: tuple[str, ...], answer: str) -> None:
    (here / "broken.json").write_text("[")
    code, out, err = run(capsys, *words)
    assert code == 2
    assert answer in err
    assert "measuring" not in out
    assert not (here / "benchmarks").exists()


def test_a_missing_sdk_is_named_as_pip_knows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, package in (("useq", "useq-schema"), ("pymmcore_plus.mda", "pymmcore-plus")):
        said = str(MissingExtraError(module, "micromanager"))
        assert said.startswith(f"{package} is not installed")
    for module in ("pymmcore_plus", "pymmcore_plus.experimental.unicore"):
        monkeypatch.setitem(sys.modules, module, None)
    for name in ("_emulated", "_faults"):
        monkeypatch.delitem(sys.modules, f"visuomotor.benchmarks.{name}", raising=False)
        monkeypatch.delattr(f"visuomotor.benchmarks.{name}", raising=False)
    with pytest.raises(MissingExtraError, match=r"^pymmcore-plus is not installed"):
        micromanager.Benchmark(None, micromanager.CONFIG())
