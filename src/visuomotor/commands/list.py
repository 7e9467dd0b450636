"""``visuomotor list``: what there is to choose from."""

from __future__ import annotations

import json
from typing import Annotated

import tyro


def command(json_output: Annotated[bool, tyro.conf.arg(name="json")] = False) -> int:
    """Shipped policies, searches, focus measures, tasks and agents.

    Args:
        json_output: Print one JSON object.
    """
    from rich.console import Console

    from visuomotor import zoo
    from visuomotor.agents.search import searches
    from visuomotor.discovery import names_in
    from visuomotor.vision.focus import measures

    policies = {name: str(zoo.card(name)["summary"]) for name in zoo.names()}
    found = {
        "searches": [zoo.SEARCH_PREFIX + name for name in searches()],
        "measures": list(measures()),
        "tasks": names_in("visuomotor.tasks", "build"),
        "agents": names_in("visuomotor.agents", "load_policy"),
    }
    if json_output:
        print(json.dumps({"policies": policies, **found}))
        return 0
    console = Console(highlight=False)
    console.print("[bold]policies[/bold]")
    for name, summary in policies.items():
        console.print(f"  {name}: {summary}")
    for kind, names in found.items():
        console.print(f"[bold]{kind}[/bold]\n  {', '.join(names)}")
    return 0
