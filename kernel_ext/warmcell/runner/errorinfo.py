"""Errors as records, without the frames that are Warmcell's own."""

from __future__ import annotations

import itertools
import traceback
from pathlib import Path
from types import TracebackType

from warmcell.errors import WarmcellError
from warmcell.records import ErrorInfo
from warmcell.utf8 import storable

__all__ = ["error_info", "message_of", "own_frames"]

_HERE = str(Path(__file__).parent) + "/"


def own_frames(trace: TracebackType | None) -> TracebackType | None:
    """``trace`` from the first frame that is not Warmcell's own."""
    first = trace
    while first is not None and first.tb_frame.f_code.co_filename.startswith(_HERE):
        first = first.tb_next
    return first or trace


def error_info(error: BaseException, step: str | None = None) -> ErrorInfo:
    """An exception as a record, its traceback without our frames."""
    kind = type(error)
    trace = own_frames(error.__traceback__)
    text = "".join(itertools.islice(traceback.format_exception(kind, error, trace), 500))
    hint = error.hint if isinstance(error, WarmcellError) else None
    hint = None if hint is None else storable(hint)
    return ErrorInfo(kind.__name__, message_of(error), step, storable(text), hint)


def message_of(error: BaseException) -> str:
    """What an error says, without its hint; never raises."""
    try:
        return storable(error.message if isinstance(error, WarmcellError) else str(error))
    except Exception as broken:
        # The message comes from code of the user, and this is where errors end up.
        return f"<the message of this error cannot be made: {type(broken).__name__}>"
