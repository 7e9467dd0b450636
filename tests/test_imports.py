"""``import visuomotor`` stays light, and its front door holds what it says."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys

import pytest

import visuomotor

ALLOWED = {
    "visuomotor",
    # Registering the environments may need Gymnasium, and what it imports itself.
    "gymnasium",
    "numpy",
    "cloudpickle",
    "cython_runtime",  # NumPy, in some builds
    "farama_notifications",
    "typing_extensions",
}
HEAVY = ("torch", "matplotlib", "tensorboard", "stable_baselines3", "ray", "pybullet", "mujoco")

LIST_MODULES = """
import json, sys
before = set(sys.modules)
{statement}
new = {{name.partition(".")[0] for name in set(sys.modules) - before}}
print(json.dumps(sorted(new - set(sys.stdlib_module_names))))
"""


def loaded_by(statement: str) -> set[str]:
    """Top-level modules beyond the standard library that a statement loads, in a new process."""
    code = LIST_MODULES.format(statement=statement)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_the_package_loads_nothing_heavy() -> None:
    # NumPy and others bring helper modules with a leading underscore or of their build system.
    loaded = {name for name in loaded_by("import visuomotor") if not name.startswith("_")}
    assert loaded <= ALLOWED, f"import visuomotor also loads {sorted(loaded - ALLOWED)}"


@pytest.mark.parametrize("module", ["visuomotor.cli", "visuomotor.env", "visuomotor.agents.search"])
def test_light_modules_load_nothing_heavy(module: str) -> None:
    assert not loaded_by(f"import {module}") & set(HEAVY)


def test_the_check_sees_what_is_loaded() -> None:
    assert "numpy" in loaded_by("import numpy")


@pytest.mark.parametrize("name", visuomotor.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(visuomotor, name) is not None


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_thing"):
        _ = visuomotor.no_such_thing


# Both are called with what they refuse in their own words: so it was they who were called.
CALL_BOTH = """
{statement}
import visuomotor as vm
from visuomotor.evaluate import Episode, evaluate
import visuomotor.evaluate
for called in (evaluate, vm.evaluate, vm.evaluate, visuomotor.evaluate.evaluate):
    try:
        called(None, None, episodes=0)
    except vm.InputError as error:
        print(error)
assert callable(vm.summarise) and visuomotor.evaluate.Episode is Episode
"""


@pytest.mark.parametrize(
    "statement",
    [
        "import visuomotor; visuomotor.evaluate",
        "from visuomotor import evaluate",
        "import visuomotor.evaluate",
        "from visuomotor.evaluate import summarise",
        "import visuomotor.cli",
    ],
)
def test_a_function_and_the_file_of_its_name_may_be_imported_in_any_order(statement: str) -> None:
    code = CALL_BOTH.format(statement=statement)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.count("expected at least 1 episode") == 4


@pytest.mark.parametrize("name", visuomotor.__all__)
def test_no_file_of_the_package_hides_a_public_name(name: str) -> None:
    """Importing ``visuomotor.NAME`` makes ``visuomotor.NAME`` that file."""
    if importlib.util.find_spec(f"visuomotor.{name}") is not None:
        importlib.import_module(f"visuomotor.{name}")
    assert callable(getattr(visuomotor, name)) or name == "__version__"
