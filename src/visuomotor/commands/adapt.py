"""``visuomotor adapt``: fine-tune a trained policy on the rig that it is to work on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import tyro

from visuomotor.errors import InputError, nearest


def command(
    policy: Annotated[str, tyro.conf.Positional],
    out: Path,
    stack: str | None = None,
    rig: Path | None = None,
    rehearse: str | None = None,
    severity: float = 1.0,
    config: Path | None = None,
    set: tuple[str, ...] = (),
    seed: int | None = None,
    dry_run: bool = False,
    json_output: Annotated[bool, tyro.conf.arg(name="json")] = False,
) -> int:
    """Fine-tune a policy where its recording no longer holds: a knob that slips, a shifted view.

    It learns from the recording, varied, and from what it does on the rig; every check is on fresh
    starts there, and nothing is learned from those. The same command goes on with a run that was
    cut short.

    Args:
        policy: A run folder, a checkpoint or a shipped policy, of the agent dqn.
        out: The run folder, begun or gone on with.
        stack: The recording that the policy was trained on, of the rig's whole range; by default
            what its run folder names.
        rig: The rig file.
        rehearse: In place of a rig, the recording itself, disturbed: a preset such as rough_rig.
        severity: The preset's amounts times this.
        config: JSON or TOML file with keys of the adapting config.
        set: Single values over the config's, such as ``real_steps=500 recorded.shift=0.03``.
        seed: Of everything that is random.
        dry_run: Say what would be done; connect to nothing, write nothing.
        json_output: Print one JSON line for each check instead of a bar.
    """
    from rich.console import Console

    from visuomotor.checkpoint import load_checkpoint
    from visuomotor.commands._stacks import load_stack
    from visuomotor.configs import from_pairs, from_plain, read_config_file, to_plain
    from visuomotor.instruments.disturbances import PRESETS, Disturbed, scaled
    from visuomotor.instruments.workcells import open_rig
    from visuomotor.runs import Run
    from visuomotor.training.adapting import AdaptConfig, adapt, check_fit
    from visuomotor.zoo import file_of

    if (rig is None) == (rehearse is None):
        raise InputError("adapt: expected --rig RIG or --rehearse PRESET, one of them")
    values = read_config_file(config) if config else {}
    settings = from_plain(AdaptConfig, values, str(config))
    changes = from_pairs(set) | ({} if seed is None else {"seed": seed})
    settings = from_plain(AdaptConfig, changes, "--set", base=settings)
    checkpoint = load_checkpoint(file_of(policy))
    stack = stack or _recording_of(policy)
    recording = load_stack(stack)
    on: dict[str, Any]
    if rehearse is None:
        assert rig is not None
        instrument: Any = open_rig(rig)
        on = {"rig": str(rig.resolve())}
    else:
        if rehearse not in PRESETS:
            raise InputError(f"--rehearse: got {rehearse!r}; {nearest(rehearse, PRESETS)}")
        step = checkpoint.policy.spec.config.get("fine_step")
        disturbance = scaled(PRESETS[rehearse], severity)
        instrument = Disturbed(recording.instrument(fine_step=step), disturbance, settings.seed)
        on = {"disturbance": to_plain(disturbance)}
    check_fit(checkpoint, instrument, recording)
    console = Console(highlight=False, stderr=json_output)
    where = f"rig {rig}" if rehearse is None else f"{recording.name}, {rehearse} x {severity:g}"
    if dry_run:
        console.print(
            f"{policy}: would adapt on {where}, at most {settings.real_steps:,} real steps, "
            f"{settings.check_starts} fresh starts a check",
            soft_wrap=True,
        )
        return 0
    asked = {"policy": policy, "stack": stack, "stack_digest": recording.origin_digest, **on}
    run = Run.at(out, to_plain(settings) | asked)

    def progress(metrics: dict[str, Any]) -> None:
        if json_output:
            print(json.dumps(metrics), flush=True)
            return
        console.print(
            f"{metrics['step']:,} real steps: {metrics['accuracy']:.1%} of {metrics['starts']} "
            f"fresh starts, {metrics['mean_steps']:.2f} steps, {metrics['seconds']:.0f} s",
            soft_wrap=True,
        )

    console.print(f"adapting {policy} on {where}\nrun:   {out}", soft_wrap=True)
    standing = adapt(settings, checkpoint, instrument, recording, run, progress)
    console.print(
        f"best:  success {standing.best_success:.1%} after {standing.real_steps:,} real steps "
        f"(and {standing.evaluation_steps:,} in checks)\n"
        f"try:   visuomotor focus --policy {out}" + (f" --rig {rig}" if rig else ""),
        soft_wrap=True,
    )
    return 0 if standing.best_success == 1.0 else 1


def _recording_of(policy: str) -> str:
    """What the run folder of a policy names."""
    from visuomotor.runs import Run

    folder = Path(policy) if Path(policy).is_dir() else Path(policy).parent
    if (folder / "config.json").is_file() and Path(policy).exists():
        named = Run.open(folder).config().get("stack")
        if isinstance(named, str):
            return named
    raise InputError(f"adapt: expected --stack PATH, the recording that {policy} was trained on")
