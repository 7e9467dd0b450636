"""The repository keeps its word: documents agree with the code, and nothing strays in."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile

import visuomotor
from visuomotor.discovery import names_in

ROOT = Path(__file__).resolve().parent.parent
ZOO = "src/visuomotor/zoo/"
MEBIBYTE = 1024 * 1024
# A home folder, or a folder of a build machine, as an absolute path. Links (https://...) are none.
MACHINE_PATH = re.compile(r"(?<![\w.~>)}*-])/(?:work|root|opt|tmp/\w+|home/\w+|Users/\w+)(?:/|\b)")


def files_in_git() -> list[Path]:
    """What is in git, or would be added to it."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout, so there is no list of files to check")
    words = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(words, cwd=ROOT, capture_output=True, check=True).stdout
    paths = [ROOT / name for name in listed.decode().split("\0") if name]
    return [path for path in paths if path.is_file()]


def readme() -> str:
    return (ROOT / "README.md").read_text(encoding="utf-8")


def code_blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def test_readme_names_only_commands_that_exist() -> None:
    text = readme()
    spans = re.findall(r"`visuomotor ([a-z]\w*)", text)
    lines = re.findall(r"^visuomotor ([a-z]\w*)", "\n".join(code_blocks(text, "sh")), re.MULTILINE)
    named = set(spans + lines)
    assert {"score", "train", "focus"} <= named  # the expressions above still find them
    assert named <= set(names_in("visuomotor.commands", "command"))


def test_readme_python_runs(tmp_path: Path) -> None:
    (code,) = code_blocks(readme(), "python")
    rng = np.random.default_rng(0)
    scene = rng.integers(40, 200, (64, 64)).astype(np.float32)
    planes = [cv2.GaussianBlur(scene, (0, 0), 0.5 + abs(0.1 * z - 2.0)) for z in range(41)]
    tifffile.imwrite(
        tmp_path / "stack.ome.tif",
        np.stack(planes).astype(np.uint8),
        metadata={"axes": "ZYX", "PhysicalSizeZ": 0.1, "PhysicalSizeZUnit": "um"},
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    verdict, position, *_ = done.stdout.split()
    assert verdict == "focused"
    assert float(position) == pytest.approx(2.0, abs=0.05)


def test_readme_links_lead_somewhere() -> None:
    targets = re.findall(r"\]\(([^)#:]+)\)", readme())
    assert targets
    missing = [target for target in targets if not (ROOT / target).exists()]
    assert not missing


def test_contributing_names_only_files_that_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:src|tests|docs)/[\w./-]+)`", text))
    assert named
    assert not [name for name in sorted(named) if not (ROOT / name).exists()]


def test_versions_and_licence_agree() -> None:
    assert "BSD 3-Clause" in (ROOT / "LICENSE").read_text(encoding="utf-8")
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(r"^version: (.+)$", citation, re.MULTILINE)[1] == visuomotor.__version__  # type: ignore[index]
    assert re.search(r"^license: BSD-3-Clause$", citation, re.MULTILINE)
    assert "## [Unreleased]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_constraints_pin_every_dependency_and_torch_first() -> None:
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9._-]+==[\w.]+", line, re.IGNORECASE) for line in lines)
    pinned = [line.partition("==")[0] for line in lines]
    assert pinned[0] == "torch"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    asked = project["dependencies"] + extras["sb3"] + extras["test"] + extras["dev"]
    names = {re.match(r"[\w-]+", requirement)[0] for requirement in asked}  # type: ignore[index]
    assert names - {"visuomotor"} <= set(pinned)


def test_no_large_files() -> None:
    for path in files_in_git():
        in_zoo = path.relative_to(ROOT).as_posix().startswith(ZOO)
        limit = 4 * MEBIBYTE if in_zoo else 1.5 * MEBIBYTE
        assert path.stat().st_size <= limit, f"{path.relative_to(ROOT)} is too large for git"


def test_no_paths_of_a_machine() -> None:
    found = []
    for path in files_in_git():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # not a text
        found += [f"{path.relative_to(ROOT)}: {match[0]}" for match in MACHINE_PATH.finditer(text)]
    assert not found


@pytest.mark.parametrize("folder", ["work", "root", "home/ada", "Users/ada"])
def test_the_path_check_sees_paths(folder: str) -> None:
    assert MACHINE_PATH.search(f'open("/{folder}/x.tif")')
    assert not MACHINE_PATH.search(f"https://example.org/{folder}/x.tif ../{folder}/x.tif")


def test_reading_dqn_takes_at_most_1000_lines() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = text.partition("## Reading DQN from command line to gradient")[2]
    rows = re.findall(r"^\| `([^`]+)` \| ([\d,]+) \|", section, re.MULTILINE)
    assert rows, "the table in CONTRIBUTING.md is empty"
    said = {name: int(count.replace(",", "")) for name, count in rows}
    true = {name: len((ROOT / name).read_text(encoding="utf-8").splitlines()) for name in said}
    assert said == true
    assert sum(true.values()) <= 1000


def test_the_wheel_holds_every_file_of_the_package(tmp_path: Path) -> None:
    build = "import sys; from hatchling.build import build_wheel; build_wheel(sys.argv[1])"
    subprocess.run([sys.executable, "-c", build, str(tmp_path)], cwd=ROOT, check=True)
    (wheel,) = tmp_path.glob("visuomotor-*.whl")
    packed = set(zipfile.ZipFile(wheel).namelist())
    source = ROOT / "src"
    wanted = {
        path.relative_to(source).as_posix()
        for path in source.rglob("*")
        if path.is_file() and path.suffix != ".pyc" and not path.name.startswith(".")
    }
    assert wanted <= packed, sorted(wanted - packed)
