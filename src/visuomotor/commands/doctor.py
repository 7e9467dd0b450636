"""``visuomotor doctor``: is everything here that is needed, and what will be slow?"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import platform
from typing import Annotated, Any

import tyro

CORE = {
    "numpy": "numpy",
    "scipy": "scipy",
    "torch": "torch",
    "gymnasium": "gymnasium",
    "cv2": "opencv-python-headless",
    "skimage": "scikit-image",
    "tifffile": "tifffile",
    "safetensors": "safetensors",
    "tensorboard": "tensorboard",
    "matplotlib": "matplotlib",
}


def command(json_output: Annotated[bool, tyro.conf.arg(name="json")] = False) -> int:
    """Check the installation; exit code 1 if something is wrong.

    Args:
        json_output: Print one JSON object.
    """
    facts: dict[str, Any] = {"python": platform.python_version(), "system": platform.platform()}
    problems: list[str] = []
    for module, package in CORE.items():
        try:
            importlib.import_module(module)
            facts[package] = importlib.metadata.version(package)
        except ImportError as error:
            problems.append(f"{package} does not import ({error}): pip install {package}")
        except importlib.metadata.PackageNotFoundError:
            facts[package] = "present, installed under another name"
    if not problems:
        problems += _look_closer(facts)
    if json_output:
        print(json.dumps({"facts": facts, "problems": problems}))
    else:
        for name, value in facts.items():
            print(f"{name + ':':<26}{value}")
        for problem in problems:
            print(f"PROBLEM: {problem}")
        print("everything that is needed is here" if not problems else "")
    return 1 if problems else 0


def _look_closer(facts: dict[str, Any]) -> list[str]:
    """Facts that decide speed, and policies whose files were changed."""
    import torch

    from visuomotor import zoo
    from visuomotor.errors import InputError
    from visuomotor.runs import commit, machine

    facts["machine"] = machine()
    facts["torch threads"] = torch.get_num_threads()
    facts["CUDA"] = torch.cuda.is_available()
    amx = torch.cpu._is_amx_tile_supported()
    facts["training precision"] = "bf16 (AMX)" if amx else "fp32 (no bf16 in hardware)"
    facts["commit"] = commit() or "not a checkout"
    problems = []
    for name in zoo.names():
        try:
            zoo.path_of(name)
            facts[f"policy {name}"] = "intact"
        except InputError as error:
            problems.append(str(error))
    return problems
