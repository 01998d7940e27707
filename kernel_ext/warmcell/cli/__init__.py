"""The command line: ``warmcell``.

Results go to standard output, as text or with ``--json`` as JSON; what is said beside them goes to
standard error. What the exit codes mean is at the end of ``warmcell --help``.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence

from warmcell.cli import ends
from warmcell.errors import WarmcellError

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the words of a command line say and return its exit code."""
    from warmcell.cli.parser import parse

    words = list(sys.argv[1:] if arguments is None else arguments)
    given = None
    try:
        given = parse(words)
        return int(given.command(given) or 0)
    except WarmcellError as error:
        return ends.failed(error, as_json=bool(getattr(given, "json", "--json" in words)))
    except TimeoutError as error:
        print(f"warmcell: {error}", file=sys.stderr)
        return ends.TIMED_OUT
    except KeyboardInterrupt:
        return ends.INTERRUPTED
    except BrokenPipeError:  # whoever read the output has enough
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ends.FAILED
