"""``visuomotor focus --rig`` in a window, which grows on request."""

from __future__ import annotations

import json
from pathlib import Path

from command_line import SIMULATED, run


def test_a_window_is_kept_to_and_grows_on_request(here: Path, capsys, moves) -> None:
    words = ("focus", "--rig", str(SIMULATED), "--window=-17", "-12", "--start=-15", "--json")
    words = (*words, "--policy", "search:hill-climb")
    code, out, _ = run(capsys, *words)
    answer = json.loads(out)
    assert (code, answer["verdict"], answer["direction"]) == (1, "at_limit", 1)
    assert max(moves) <= -12
    moves.clear()
    code, out, _ = run(capsys, *words, "--grow", "3")
    answer = json.loads(out)
    assert (code, answer["verdict"], answer["direction"]) == (0, "focused", 0)
    assert "the range grew" in answer["reason"]
    assert answer["exposures"] == len(answer["path"])
    assert -12 < max(moves) <= 18
