"""``visuomotor train``: learn a policy from a recorded stack."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import tyro

from visuomotor.configs import from_pairs, from_plain, to_plain
from visuomotor.errors import InputError


def command(
    task: Annotated[Literal["focus"], tyro.conf.Positional],
    stack: str | None = None,
    rig: Path | None = None,
    preset: str = "fast",
    config: Path | None = None,
    set: tuple[str, ...] = (),
    seed: int | None = None,
    runs: Path = Path("runs"),
    resume: Path | None = None,
    dry_run: bool = False,
    json_output: Annotated[bool, tyro.conf.arg(name="json")] = False,
) -> int:
    """Learn to focus one view from its pictures alone. Saves the best policy in a run folder.

    Args:
        task: What to learn.
        stack: A focal stack: OME-TIFF, multi-page TIFF, a folder of pictures, or "demo".
        rig: A rig file, whose [sharpness] counts; a stack that is not there is recorded from it.
        preset: Learn as we do (fast), or as yu2018 did (paper: hours).
        config: JSON or TOML file with keys of the training config.
        set: Single values over the config's, such as ``agent.n_step=1 cells=32``.
        seed: Of everything that is random.
        runs: Where run folders go.
        resume: A run folder to go on with; the stack is the one it began with.
        dry_run: Say what would be recorded and trained; connect to nothing, write nothing.
        json_output: Print one JSON line for each evaluation instead of a progress bar.
    """
    from visuomotor.commands._report import Report
    from visuomotor.commands._stacks import DEMO, config_values, load_stack, recorded_first
    from visuomotor.runs import Run
    from visuomotor.training.config import train_config
    from visuomotor.training.examining import prepare
    from visuomotor.training.local import train

    if resume is not None:
        if stack or rig or config or set or seed is not None:
            raise InputError("train: --resume goes on as the run began; give it no other settings")
        run = Run.open(resume)
        asked = run.config()
        if "others" in asked:
            raise InputError(f"{resume}: a study's run; expected visuomotor study, which goes on")
        stack, digest = str(asked.pop("stack", "")), asked.pop("stack_digest", None)
        settings = train_config(asked, str(run.config_file))
    elif stack is None:
        raise InputError("train: expected --stack PATH (or --resume RUN), got neither")
    else:
        settings = train_config(config_values(config, rig), str(config), preset)
        changes = from_pairs(set) | ({} if seed is None else {"seed": seed})
        settings = from_plain(type(settings), changes, "--set", base=settings)
    if rig is not None and not recorded_first(rig, Path(stack), dry_run, json_output):
        return 0
    prepared = prepare(load_stack(stack), settings)  # refuses before a run is begun
    if resume is not None and digest != prepared.origin_digest:
        raise InputError(f"{stack}: expected the stack that {resume} began with, got another one")
    if dry_run:
        print(f"{stack}: would train on {prepared.num_positions} positions, {settings.steps} steps")
        return 0
    if resume is None:
        lasting = stack if stack == DEMO else str(Path(stack).resolve())
        origin = {"stack": lasting, "stack_digest": prepared.origin_digest}
        run = Run.create(runs, task, to_plain(settings) | origin)
    with Report(run, settings, prepared, json_output) as report:
        standing = train(settings, prepared, run, report)
    report.close(stack, standing)
    return 0 if standing.best_accuracy == 1.0 else 1
