"""What a plan of useq says about z."""

from __future__ import annotations

from useq import MDAEvent, MDASequence

from visuomotor.errors import InputError
from visuomotor.instruments.rig_config import RigConfig


def home_z(event: MDAEvent) -> float | None:
    """The z that the plan has for the event's position, without z-stack and channel. The middle of
    a stack whose planes are absolute."""
    sequence, place = event.sequence, event.index.get("p")
    if sequence is None or "z" not in event.index:
        return event.z_pos
    position = sequence.stage_positions[place] if place is not None else None
    own = position.sequence if position is not None else None
    plan = own.z_plan if own is not None and own.z_plan is not None else sequence.z_plan
    if plan is None:
        return event.z_pos
    if plan.is_relative:
        return 0.0 if position is None or position.z is None else position.z
    planes = list(plan)
    return (min(planes) + max(planes)) / 2


def planned_offset(event: MDAEvent, channel: tuple[str, str] | None) -> float:
    """``z_offset`` of a channel of the plan (if None of the event's), which useq adds only where
    there is a z-stack."""
    if event.sequence is None or "z" not in event.index:
        return 0.0
    if channel is None and event.channel is not None:
        channel = (event.channel.group, event.channel.config)
    place = event.index.get("p")
    own = event.sequence.stage_positions[place].sequence if place is not None else None
    channels = own.channels if own is not None and own.channels else event.sequence.channels
    return sum(float(c.z_offset or 0.0) for c in channels if (c.group, c.config) == channel)


def check_planes(sequence: MDASequence, rig: RigConfig) -> None:
    """Planes that the limits would push together are worth nothing; known before anything moves."""
    low, high = rig.focus.limits
    for position in sequence.stage_positions:
        own = position.sequence.z_plan if position.sequence is not None else None
        plan = own if own is not None else sequence.z_plan
        if plan is None:
            planes = [] if position.z is None else [position.z]
        else:
            home = (position.z or 0.0) if plan.is_relative else 0.0
            planes = [home + plane for plane in plan]
        outside = [z for z in planes if not low <= z <= high]
        if outside:
            raise InputError(
                f"acquisition: expected z within the rig's limits, {low:g} to {high:g} "
                f"{rig.focus.unit}, got {outside[0]:g}"
            )
