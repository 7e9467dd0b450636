"""The command line: ``visuomotor COMMAND``. Each command is one file in ``commands/``."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

import tyro

import visuomotor
from visuomotor.discovery import names_in
from visuomotor.errors import InputError, MissingExtraError, RigError, in_words

DESCRIPTION = "Look through a camera, move, look again, and stop when it is in focus."


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command. Exit codes: 0 done; 1 done, but the answer is no; 2 wrong input."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words == ["--version"]:
        print(visuomotor.__version__)
        return
    package = "visuomotor.commands"
    commands = {
        name: importlib.import_module(f"{package}.{name}").command
        for name in names_in(package, "command")
    }
    try:
        code = tyro.extras.subcommand_cli_from_dict(
            commands, prog="visuomotor", description=DESCRIPTION, args=words or ["--help"]
        )
    except (InputError, MissingExtraError, RigError) as error:
        print(f"visuomotor: {in_words(error)}", file=sys.stderr)
        code = 1 if isinstance(error, RigError) else 2
    except KeyboardInterrupt as stop:
        print(f"visuomotor: {in_words(stop)}", file=sys.stderr)
        code = 130
    if code:
        raise SystemExit(code)
