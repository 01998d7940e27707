"""The first line of a plain step cell: ``score(features, threshold=0.5) -> probability --run``."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from typing import NamedTuple

from warmcell.errors import UsageError

__all__ = ["CellOutput", "CellSignature", "split"]

_FORM = re.compile(r"\s*([^\W\d]\w*)\s*(\(|->|$)")
_OPTION = re.compile(r"\s-{1,2}[a-zA-Z]")
_EXAMPLE = "Write for example: %%step score(features) -> probability"


class CellOutput(NamedTuple):
    """A named output, with its type where one was written."""

    name: str
    annotation: ast.expr | None


@dataclass(frozen=True)
class CellSignature:
    """Name, inputs and outputs of a plain cell."""

    name: str
    arguments: ast.arguments
    outputs: tuple[CellOutput, ...]

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of the inputs, in order."""
        every = (*self.arguments.posonlyargs, *self.arguments.args, *self.arguments.kwonlyargs)
        return tuple(argument.arg for argument in every)

    @property
    def optional(self) -> frozenset[str]:
        """The inputs that have a default."""
        positional = [*self.arguments.posonlyargs, *self.arguments.args]
        count = len(self.arguments.defaults)
        names = [argument.arg for argument in positional[len(positional) - count :]]
        pairs = zip(self.arguments.kwonlyargs, self.arguments.kw_defaults, strict=True)
        return frozenset([*names, *(a.arg for a, default in pairs if default is not None)])

    def function(self, body: list[ast.stmt], *, is_async: bool) -> ast.stmt:
        """Make the definition of a function with this signature and ``body``."""
        annotations = [output.annotation for output in self.outputs]
        result: ast.expr | None = annotations[0] if annotations else None
        if len(annotations) > 1 and any(annotations):
            anything = ast.Name("object", ast.Load())
            result = ast.Tuple([a or anything for a in annotations], ast.Load())
        made = ast.parse(f"{'async ' if is_async else ''}def {self.name}(): ...").body[0]
        assert isinstance(made, ast.FunctionDef | ast.AsyncFunctionDef)
        made.args, made.body, made.returns = self.arguments, body, result
        return made


def split(line: str) -> tuple[CellSignature | None, str]:
    """Cut the signature off the first line of a cell; what is left are options.

    Raises :class:`UsageError` for a line that begins like a signature and is none.
    """
    if not _FORM.match(line):
        return None, line
    end = _end(line)
    text, options = line[:end].strip(), line[end:].strip()
    head, arrow, tail = _cut(text, "->")
    if "(" not in head and not arrow:
        raise UsageError(
            f"`{text}` names neither inputs nor an output.",
            hint=f"{_EXAMPLE}. In a cell with a `def`, name the step with --name {text}.",
        )
    definition = head if "(" in head else f"{head}()"
    try:
        parsed = ast.parse(f"def {definition}: ...").body[0]
    except SyntaxError as error:
        raise UsageError(f"`{text}` is not a signature: {error.msg}.", hint=_EXAMPLE) from None
    assert isinstance(parsed, ast.FunctionDef)
    if parsed.args.vararg or parsed.args.kwarg or parsed.args.posonlyargs:
        raise UsageError(f"`{text}`: the inputs of a cell need names.", hint=_EXAMPLE)
    outputs = tuple(_output(part, text) for part in _parts(tail)) if arrow else ()
    if arrow and not outputs:
        raise UsageError(f"`{text}` names no output after `->`.", hint=_EXAMPLE)
    seen = [output.name for output in outputs]
    for name in seen:
        if seen.count(name) > 1:
            raise UsageError(
                f"`{text}` has two outputs named {name!r}.", hint="Give each its own name."
            )
    return CellSignature(parsed.name, parsed.args, outputs), options


def _output(part: str, text: str) -> CellOutput:
    name, colon, annotation = part.partition(":")
    try:
        kind = ast.parse(annotation.strip(), mode="eval").body if colon else None
    except SyntaxError as error:
        raise UsageError(f"`{text}`: the type of {name!r} is not Python: {error.msg}.") from None
    if not name.strip().isidentifier():
        raise UsageError(f"`{text}`: {part!r} cannot name an output.", hint=_EXAMPLE)
    return CellOutput(name.strip(), kind)


def _flat(text: str) -> str:
    """Blank out strings and everything in brackets, keeping positions."""
    flat, depth, quote = [], 0, ""
    for index, char in enumerate(text):
        if quote:
            quote = "" if char == quote and text[index - 1] != "\\" else quote
            flat.append("_")
        elif char in "'\"":
            quote = char
            flat.append("_")
        else:
            depth -= char in ")]}"
            flat.append(char if depth <= 0 else "_")
            depth += char in "([{"
    return "".join(flat)


def _end(line: str) -> int:
    found = _OPTION.search(_flat(line))
    return found.start() if found else len(line)


def _cut(text: str, mark: str) -> tuple[str, str, str]:
    at = _flat(text).find(mark)
    return (text, "", "") if at < 0 else (text[:at].strip(), mark, text[at + len(mark) :].strip())


def _parts(text: str) -> list[str]:
    if text.startswith("(") and text.endswith(")"):
        text = text[1:-1]
    flat, parts, start = _flat(text), [], 0
    for index, char in enumerate(flat):
        if char == ",":
            parts.append(text[start:index])
            start = index + 1
    return [part.strip() for part in [*parts, text[start:]] if part.strip()]
