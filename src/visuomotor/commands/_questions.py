"""The questions of ``visuomotor rig init``, and the asking."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.prompt import Prompt

from visuomotor.configs import from_plain
from visuomotor.errors import InputError
from visuomotor.instruments.driving import driver, drivers
from visuomotor.instruments.rig_config import (
    CameraConfig,
    FocusConfig,
    OpticsConfig,
    RigConfig,
    SafeConfig,
    rig_from_plain,
)

Values = dict[str, Any]
CHECKED = {"camera": CameraConfig, "focus": FocusConfig, "optics": OpticsConfig, "safe": SafeConfig}


def _value(answer: str) -> Any:
    """Numbers, lists and tables as such (a list also without brackets); anything else is text."""
    for text in (answer, f"[{answer}]"):
        try:
            return json.loads(text)
        except json.JSONDecodeError:
            continue
    return answer


def _uses(name: str) -> Callable[[Values], bool]:
    return lambda values: name in (values["camera"]["driver"], values["focus"]["driver"])


def _optics_tell(values: Values) -> bool:
    return "fine_step" not in values["focus"]


class Question(NamedTuple):
    """One question, whose answer is one key of a rig file."""

    key: str
    text: str
    default: str | None = None
    """Where nothing is answered; "" leaves the key out, None asks again."""
    read: Callable[[str], Any] = _value
    choices: Callable[[], Sequence[str]] = list
    applies: Callable[[Values], bool] = lambda values: True
    like: str = ""
    """The key whose value is the default."""

    @property
    def table(self) -> str:
        return self.key.partition(".")[0]


def _up_or_down() -> Sequence[str]:
    return ("up", "down")


QUESTIONS = (
    Question("name", "What is the rig called?", "my microscope", str),
    Question("camera.driver", "Which driver has its camera?", "micromanager", str, drivers),
    Question("camera.device", "Camera's name in the driver (empty: its default)", "", str),
    Question("camera.exposure_ms", "Exposure in milliseconds (empty: as found)", ""),
    Question("camera.roi", "Region to read out: top, left, height, width (empty: as found)", ""),
    Question("focus.driver", "Which driver has its focus?", "", str, drivers, like="camera.driver"),
    Question("focus.device", "Focus drive's name in the driver (empty: its default)", "", str),
    Question(
        "focus.towards_sample",
        "Which way of counting brings lens and sample nearer?",
        read=str,
        choices=_up_or_down,
    ),
    Question("focus.soft_limits", "Where focusing may go: lowest, highest"),
    Question("focus.never_pass", "Position on the sample's side that nothing may ever pass"),
    Question("focus.hard_limits", "What the drive can reach (empty: it says so, or unknown)", ""),
    Question("focus.settle_ms", "Milliseconds to wait after a move (empty: none)", ""),
    Question("focus.backlash", "Play of the drive (empty: none)", ""),
    Question(
        "focus.approach",
        "In which direction of counting should every move end?",
        "up",
        str,
        _up_or_down,
        lambda values: bool(values["focus"].get("backlash")),
    ),
    Question("focus.fine_step", "Smallest useful move (empty: from the optics)", ""),
    Question(
        "optics.numerical_aperture", "Numerical aperture of the objective", applies=_optics_tell
    ),
    Question(
        "optics.wavelength_um",
        "Wavelength in micrometres (empty: 0.55)",
        "",
        applies=_optics_tell,
    ),
    Question(
        "optics.index",
        "Refractive index between lens and sample (empty: 1)",
        "",
        applies=_optics_tell,
    ),
    Question(
        "micromanager.config",
        "Micro-Manager configuration (.cfg), seen from the rig file",
        read=str,
        applies=_uses("micromanager"),
    ),
    Question(
        "micromanager.adapters",
        'Its adapters, as ["folder"] (empty: as installed)',
        "",
        applies=_uses("micromanager"),
    ),
    Question(
        "recording.stack", "Stack, seen from the rig file", read=str, applies=_uses("recording")
    ),
    Question("channels", 'Focus offset of each channel, as {"Cy5": 1.4} (empty: none)', ""),
    Question("safe.position", "Where to leave the focus (empty: where a run ends)", ""),
)


TABLES = tuple(dict.fromkeys(question.table for question in QUESTIONS))


class Interview:
    """Asks for what is not given. On a terminal an answer that is wrong is asked for again, with
    the other answers of its table as they were."""

    def __init__(self, given: Values, console: Console, path: Path) -> None:
        """given: answers beforehand; who gives some gives those that need not be given, too."""
        self._values = given
        self._brief = bool(given)
        self._console = console
        self._path = path
        self._typed: dict[Question, str] = {}
        self._before: dict[Question, str] = {}
        """Answers that were right beside a wrong one: the defaults when it is asked again."""

    def rig(self) -> RigConfig:
        """The rig that the answers describe. InputError for one that is wrong or missing."""
        while True:
            for table in TABLES:
                self._fill(table)
            try:
                return rig_from_plain(self._values, str(self._path), self._path.parent)
            except InputError as error:  # between tables, such as a safe position beyond the limits
                words = re.findall(r"\w+", str(error).removeprefix(str(self._path)))
                self._take_back(next((word for word in words if word in TABLES), ""), error)

    def _fill(self, table: str) -> None:
        """Ask for what is missing in a table, until it is right."""
        while True:
            for question in QUESTIONS:
                if question.table == table and question.applies(self._values):
                    self._ask(question)
            try:
                self._check(table)
            except InputError as error:
                self._take_back(table, error)
            else:
                return

    def _check(self, table: str) -> None:
        said = self._values.get(table, {})
        if table in CHECKED and said:
            from_plain(CHECKED[table], said, table)
        if table in drivers() and said:
            from_plain(driver(table).Settings, said, table)
        if table in ("camera", "focus"):
            driver(said["driver"])  # without its SDK there is no use in asking on

    def _take_back(self, table: str, error: InputError) -> None:
        """Forget what was typed of a table, so that it is asked again. Raises the error where
        nothing was typed, or nobody is there to type."""
        typed = [question for question in self._typed if question.table == table]
        if not typed or not sys.stdin.isatty():
            raise error
        self._console.print(str(error), style="red", markup=False)
        for question in typed:
            where, key = self._place(question)
            where.pop(key, None)
            answer = self._typed.pop(question)
            named = re.search(rf"\b{key}\b", str(error))
            self._before[question] = "" if named else answer

    def _ask(self, question: Question) -> None:
        where, key = self._place(question)
        default = self._before.get(question) or question.default
        if question.like and not default:
            table, _, other = question.like.partition(".")
            default = self._values[table][other]
        if question in self._typed or key in where or (default == "" and self._brief):
            return
        answer = self._prompt(question, default)
        while not answer and default is None:
            answer = self._prompt(question, default)
        self._typed[question] = answer
        if answer:
            where[key] = question.read(answer)

    def _prompt(self, question: Question, default: str | None) -> str:
        try:
            return Prompt.ask(
                question.text,
                console=self._console,
                choices=list(question.choices()) or None,
                default=default or "",
                show_default=bool(default),
            )
        except EOFError:
            raise InputError(
                f"rig init: expected an answer; give --set {question.key}=VALUE"
            ) from None

    def _place(self, question: Question) -> tuple[Values, str]:
        """The table that the answer goes into, and its key there."""
        table, _, key = question.key.partition(".")
        if not key:
            return self._values, table
        where = self._values.setdefault(table, {})
        if not isinstance(where, dict):
            raise InputError(f"--set: {table}: expected keys of it, such as {question.key}=VALUE")
        return where, key
