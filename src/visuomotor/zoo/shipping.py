"""Puts a policy into the zoo: ``python -m visuomotor.zoo.shipping RUN NAME@1 SUMMARY``."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

from visuomotor.checkpoint import load_checkpoint
from visuomotor.errors import InputError
from visuomotor.files import write_atomically
from visuomotor.zoo import FOLDER, names

LIMIT_BYTES = 4 * 2**20


def ship(run: Path, name: str, summary: str) -> None:
    """Copy a run's policy to the zoo with its card. What is there already is never changed."""
    if name in names() or not name.partition("@")[2].isdigit():
        raise InputError(f"{name}: expected a new name@version, got one that is taken or has none")
    content = (run / "policy.safetensors").read_bytes()
    if len(content) > LIMIT_BYTES:
        raise InputError(f"{run}: expected at most {LIMIT_BYTES} bytes, got {len(content)}")
    config = json.loads((run / "config.json").read_text(encoding="utf-8"))
    policy, agent, provenance = load_checkpoint(run / "policy.safetensors")
    card = {
        "name": name,
        "summary": summary,
        "sha256": hashlib.sha256(content).hexdigest(),
        "task": policy.spec.task,
        "agent": agent,
        "reads": list(policy.spec.observation),
        "training": config,
        "provenance": provenance,
    }
    write_atomically(FOLDER / f"{name}.json", (json.dumps(card, indent=2) + "\n").encode())
    write_atomically(FOLDER / f"{name}.safetensors", content)


if __name__ == "__main__":
    ship(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
