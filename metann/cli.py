"""The command line: one verb per stage. Stages are imported only when they run, so `--help` and errors are quick."""

import ast
import atexit
import contextlib
import gc
import os
import sys
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, get_args

import cyclopts
from cyclopts import App, Parameter
from pydantic import ValidationError

from metann import __version__
from metann.config.section import MOST, first_problem
from metann.errors import LACKS, MetannError, exhausted, failed_system
from metann.registry import PACKAGE


def _converted(kind: Any, tokens: Any) -> Any:
    """A flag's value as cyclopts reads it, but that whole numbers are not rounded, nor larger than a table can hold.

    Raises:
        ValueError: in words that stand behind the flag's name.
    """
    if int in (kind, *get_args(kind)):
        for token in tokens:
            with contextlib.suppress(InvalidOperation):  # cyclopts says of anything else that it is no number
                number = Decimal(token.value)
                if number % 1 if number.is_finite() and abs(number) < MOST else number.is_finite():
                    raise ValueError(f"{token.keyword or 'a value'}={token.value}: a whole number below 2^63 is needed")
    return cyclopts.convert(kind, tokens)


app = App(
    name="metann",
    version=__version__,
    help="Networks that decide image by image how much of themselves to run. The workflow calls these verbs; each can be run by hand.",
    default_parameter=Parameter(negative_iterable=(), consume_multiple=True, converter=_converted),
    exit_on_error=False,
    print_error=False,
)


def stages() -> dict[str, str]:
    """Stage name -> its docstring above the parameters, read from metann/stages without importing it."""
    found = {}
    for path in sorted((PACKAGE / "stages").glob("[!_]*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and node.name == path.stem:
                found[path.stem] = (ast.get_docstring(node) or "").split("\nParameters\n")[0]
    return found


for _stage, _help in stages().items():
    app.command(f"metann.stages.{_stage}:{_stage}", name=_stage.replace("_", "-"), help=_help)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one verb; a bad input is one line on standard error and exit code 2."""
    if job := os.environ.get("SLURM_JOB_ID"):
        # Also because Snakemake shows Slurm's own log, where the cause of a kill stands, only after a log that is not empty.
        print(f"SLURM job {job} on {os.environ.get('SLURMD_NODENAME', 'an unnamed node')}", file=sys.stderr, flush=True)
    if arguments is None:
        # A short process: looking through torch's modules for garbage while they are imported and again at the end takes 0.5 s of 1.8 s.
        with contextlib.suppress(AttributeError):
            sys.stdout.reconfigure(errors="backslashreplace")  # a name that the terminal's encoding does not know stops nothing
        gc.set_threshold(100_000, 50, 1_000)
        atexit.register(_end)
    try:
        app([_at_home(word) for word in (sys.argv[1:] if arguments is None else arguments)])
    except MetannError as error:
        _fail(str(error))
    except cyclopts.CycloptsError as error:
        _fail(_problem(error))
    except MemoryError:
        _fail("out of memory; ask for more (mem_mb) or use a smaller batch_size")
    except (RuntimeError, OSError) as error:
        if isinstance(error, OSError) and error.filename is not None:
            _fail(str(failed_system(error.filename, error)))
        lack = exhausted(error)
        if lack is None or (isinstance(error, OSError) and error.errno not in LACKS):
            raise
        _fail(f"{(str(error).splitlines() or [''])[0][:200]}: {lack}")
    except KeyboardInterrupt:
        sys.exit(130)


def _at_home(word: str) -> str:
    """A word of the command line whose path begins at home: shells leave `--data=~/photos` as it is."""
    flag, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
    return f"{flag}{equals}{os.path.expanduser(value)}" if value.startswith("~/") else word  # noqa: PTH111 - a text, not always a path


def _end() -> None:
    """Leave torch's modules to the operating system."""
    if "triton" not in sys.modules:  # it would take them for leaks, and say so at length
        gc.freeze()


def _problem(error: cyclopts.CycloptsError) -> str:
    """What is wrong with the command line; a section's problem in the words of a configuration."""
    if isinstance(error.__cause__, ValidationError):
        return first_problem(error.__cause__, getattr(error.argument, "name", "").lstrip("-*"))
    return " ".join(str(error).split())


def _fail(message: str) -> None:
    print(f"metann: error: {' '.join(message.splitlines())}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
