"""Reading the body of a pipeline: can its step results be deferred?

They can while they are only passed to steps, returned, put into list, tuple or dict displays, or
taken apart by ``[i]`` and ``.field``. Then the graph is known before a step runs. Anything else
(``if``, ``len``, an f-string, ``==``, a call of another function) makes the run *eager*: each step
runs where it is called, and the body is plain Python.

The text is compared with the code object first. Where they differ, or where there is no text, the
pipeline is eager: that is always right, only not parallel by itself.
"""

from __future__ import annotations

import ast
import builtins
import logging
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import CodeType, ModuleType
from typing import Any

from warmcell.steps import Step

PLAIN, RESULT, PACK = 0, 1, 2
_HARMLESS_MODULES = ("warmcell", "logging")


@dataclass
class Analysis:
    """What is known about a body. ``mode`` is ``"planned"`` (the graph never changes), ``"traced"``
    (anew for each run) or ``"eager"``, for ``reason``. ``sites`` says which call instructions may
    be deferred, per code object; ``resolved`` is what the names meant."""

    mode: str
    reason: str | None = None
    sites: dict[CodeType, frozenset[int]] = field(default_factory=dict)
    packs: bool = False
    resolved: dict[str, Any] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    definition: ast.FunctionDef | ast.AsyncFunctionDef | None = None

    def holds(self, function: Callable[..., Any]) -> bool:
        """Whether the names still mean what they meant."""
        return all(lookup(function, name) is value for name, value in self.resolved.items())


class Eager(Exception):  # noqa: N818  (control flow, not an error)
    """Raised where a body does something that needs real values."""

    def __init__(self, node: ast.AST, reason: str) -> None:
        super().__init__(reason)
        self.node = node


UNKNOWN = object()


def lookup(function: Callable[..., Any], name: str) -> Any:
    """What ``name`` means inside ``function`` now: a closure cell, a global or a builtin.
    :data:`UNKNOWN` if it means nothing."""
    code: CodeType = function.__code__  # type: ignore[attr-defined]
    if name in code.co_freevars:
        cell = function.__closure__[code.co_freevars.index(name)]  # type: ignore[attr-defined]
        try:
            return cell.cell_contents
        except ValueError:
            return UNKNOWN
    scope: dict[str, Any] = function.__globals__  # type: ignore[attr-defined]
    if name in scope:
        return scope[name]
    return getattr(builtins, name, UNKNOWN)


def definition_of(
    function: Callable[..., Any], text: str
) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
    """The definition of ``function`` in ``text``: the last one of its name, or None."""
    if text.startswith("%%"):  # a cell with its magic: its lines keep their numbers
        text = "\n" + text.partition("\n")[2]
    try:
        tree = ast.parse(textwrap.dedent(text))
    except (SyntaxError, ValueError):
        return None
    name = getattr(function, "__name__", "")
    found = None
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name:
            found = node
    return found


def analyse(function: Callable[..., Any], text: str) -> Analysis:
    """Analyse the body of ``function`` whose source is ``text``."""
    code = getattr(function, "__code__", None)
    definition = definition_of(function, text)
    if code is None or definition is None:
        return Analysis("eager", "its source is not at hand")
    twin = _compiled(definition, code.co_freevars)
    reading = _Reading(function, definition)
    analysis = Analysis("eager", definition=definition)
    try:
        if isinstance(definition, ast.AsyncFunctionDef):
            raise Eager(definition, "it is an async function")
        reading.body(definition.body)
        analysis.mode = "planned" if reading.straight(definition.body) else "traced"
    except Eager as eager:
        line = getattr(eager.node, "lineno", definition.lineno)
        analysis.reason = f"line {line}: {eager}"
    if analysis.mode != "eager":
        if twin is None or not _same(twin, code):
            analysis.mode, analysis.reason = "eager", "its source is not at hand"
        else:
            analysis.sites = dict(_sites(twin, code, reading.calls))
            analysis.packs = reading.packs
    analysis.resolved = {name: lookup(function, name) for name in reading.names}
    analysis.steps = reading.steps
    return analysis


# -- text and code ---------------------------------------------------------------------------


def _compiled(
    definition: ast.FunctionDef | ast.AsyncFunctionDef, free: tuple[str, ...]
) -> CodeType | None:
    """The code object that ``definition`` compiles to, with ``free`` names free."""
    bare = type(definition)(**{**_fields(definition), "decorator_list": []})
    bare.returns = None
    outer = ast.parse("def _outer():\n    pass").body[0]
    assert isinstance(outer, ast.FunctionDef)
    cells = [ast.parse(f"{name} = None").body[0] for name in free]
    outer.body = [*cells, ast.copy_location(bare, definition)]
    module = ast.Module([outer], [])
    ast.fix_missing_locations(module)
    try:
        code = compile(module, "<analysis>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return None
    (outer_code,) = _codes(code)
    return next((inner for inner in _codes(outer_code) if inner.co_name == bare.name), None)


def _fields(node: ast.AST) -> dict[str, Any]:
    return dict(ast.iter_fields(node))


def _codes(code: CodeType) -> list[CodeType]:
    return [const for const in code.co_consts if isinstance(const, CodeType)]


def _same(one: CodeType, other: CodeType) -> bool:
    return (
        one.co_code == other.co_code
        and one.co_names == other.co_names
        and one.co_varnames == other.co_varnames
        and len(_codes(one)) == len(_codes(other))
        and all(map(_same, _codes(one), _codes(other)))
    )


def _sites(
    twin: CodeType, code: CodeType, calls: list[ast.Call]
) -> Iterator[tuple[CodeType, frozenset[int]]]:
    """Offsets of the instructions that belong to ``calls``, found by their positions."""
    places = {(c.lineno, c.end_lineno, c.col_offset, c.end_col_offset) for c in calls}
    yield (
        code,
        frozenset(2 * index for index, place in enumerate(twin.co_positions()) if place in places),
    )
    for inner_twin, inner in zip(_codes(twin), _codes(code), strict=True):
        yield from _sites(inner_twin, inner, calls)


# -- reading ---------------------------------------------------------------------------------


class _Reading:
    """One walk over a body: which names hold step results, and what is done with them."""

    def __init__(
        self, function: Callable[..., Any], definition: ast.FunctionDef | ast.AsyncFunctionDef
    ) -> None:
        self.function = function
        self.kinds: dict[str, int] = {}
        self.local = _locals(definition)
        self.names: dict[str, None] = {}
        self.steps: list[Step] = []
        self.calls: list[ast.Call] = []
        self.packs = False
        self.seen_step = False
        self.shared: set[str] = set()
        self.lists = _lists(definition)
        for node in ast.walk(definition):
            if isinstance(node, ast.Name) and node.id not in self.local:
                value = self.meaning(node)
                if isinstance(value, Step) and value not in self.steps:
                    self.steps.append(value)
            elif isinstance(node, ast.Attribute):
                value = self.meaning(node)
                if isinstance(value, Step) and value not in self.steps:
                    self.steps.append(value)

    def meaning(self, node: ast.expr) -> Any:
        """What a name, or an attribute of a module, means outside the body."""
        if isinstance(node, ast.Name):
            if node.id in self.local:
                return UNKNOWN
            self.names[node.id] = None
            return lookup(self.function, node.id)
        if isinstance(node, ast.Attribute):
            owner = self.meaning(node.value)
            if isinstance(owner, ModuleType):
                return getattr(owner, node.attr, UNKNOWN)
        return UNKNOWN

    def step(self, node: ast.expr) -> Step | None:
        """The step that ``node`` names, also as ``step.with_options(...)``."""
        value = self.meaning(node)
        if isinstance(value, Step):
            return value
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "with_options"
        ):
            inner = self.step(node.func.value)
            if inner is not None:
                parts = [*node.args, *(keyword.value for keyword in node.keywords)]
                if all(self.kind(part) == PLAIN for part in parts):
                    return inner
        return None

    # -- statements --

    def body(self, statements: list[ast.stmt]) -> None:
        """Read all statements until nothing new is learnt; raises :class:`Eager`."""
        for _ in range(len(self.local) + 2):
            before = dict(self.kinds)
            self.calls, self.seen_step = [], False
            self.block(statements)
            if self.kinds == before:
                return

    def block(self, statements: list[ast.stmt]) -> None:
        for statement in statements:
            self.statement(statement)

    def statement(self, node: ast.stmt) -> None:
        match node:
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    self.assign(target, value)
            case ast.AnnAssign(target=target, value=value):
                if value is not None:
                    self.assign(target, value)
            case ast.AugAssign(target=target, value=value):
                self.plain(value, "an augmented assignment")
                if isinstance(target, ast.Name):
                    if self.kinds.get(target.id, PLAIN):
                        raise Eager(node, f"`{target.id}` is a step's result and is changed")
                else:
                    self.plain(target, "an augmented assignment")
                    self.effect(node)
            case ast.Expr(value=value):
                self.kind(value)
                if isinstance(value, ast.Call) and not self.harmless(value):
                    self.effect(node)
            case ast.Return(value=value):
                if value is not None:
                    self.kind(value)
            case ast.If(test=test, body=body, orelse=orelse):
                self.plain(test, "`if`")
                self.block(body)
                self.block(orelse)
            case ast.For(target=target, iter=iterable, body=body, orelse=orelse):
                self.plain(iterable, "`for`")
                self.loop(body)
                self.block(orelse)
                self.bind(target, PLAIN)
            case ast.While(test=test, body=body, orelse=orelse):
                self.plain(test, "`while`")
                self.loop(body)
                self.block(orelse)
            case ast.Match(subject=subject, cases=cases):
                self.plain(subject, "`match`")
                for case in cases:
                    if case.guard is not None:
                        self.plain(case.guard, "`match`")
                    self.block(case.body)
            case ast.Pass() | ast.Break() | ast.Continue() | ast.Import() | ast.ImportFrom():
                pass
            case ast.Raise() | ast.Assert() | ast.Delete():
                for part in ast.iter_child_nodes(node):
                    if isinstance(part, ast.expr):
                        self.plain(part, f"`{type(node).__name__.lower()}`")
                self.effect(node)
            case _:
                self.opaque(node)

    def loop(self, body: list[ast.stmt]) -> None:
        # Twice: what happens at the end of a round comes before the start of the next one.
        self.block(body)
        self.block(body)

    def opaque(self, node: ast.AST) -> None:
        """Something whose inside is not followed: it may not touch steps or their results."""
        for part in ast.walk(node):
            if isinstance(part, ast.Name) and (
                self.kinds.get(part.id, PLAIN) or isinstance(self.meaning(part), Step)
            ):
                raise Eager(part, f"`{part.id}` is used inside `{_word(node)}`")
            if isinstance(part, ast.Attribute) and isinstance(self.meaning(part), Step):
                raise Eager(part, f"a step is used inside `{_word(node)}`")

    def effect(self, node: ast.AST) -> None:
        """A statement that changes something: after a step call it has to wait for the step."""
        if self.seen_step:
            raise Eager(node, "something is changed or raised after a step was called")

    def harmless(self, call: ast.Call) -> bool:
        if self.step(call.func) is not None:
            return True
        value = self.meaning(call.func)
        if value is print:
            return True
        if isinstance(call.func, ast.Attribute):
            owner = self.meaning(call.func.value)
            if isinstance(owner, logging.Logger) or owner is logging:
                return True
            if call.func.attr == "append" and self.kind(call.func.value) == PACK:
                return True
        return str(getattr(value, "__module__", "")).split(".")[0] in _HARMLESS_MODULES

    def assign(self, target: ast.expr, value: ast.expr) -> None:
        match target:
            case ast.Name(id=name):
                kind = self.kind(value)
                self.bind(target, kind)
                if isinstance(value, ast.Name) and kind == PACK:
                    self.shared |= {name, value.id}
            case ast.Tuple(elts=elts) | ast.List(elts=elts):
                if any(isinstance(part, ast.Starred) for part in elts):
                    self.plain(value, "unpacking with `*`")
                    self.bind(target, PLAIN)
                elif isinstance(value, ast.Tuple | ast.List) and len(value.elts) == len(elts):
                    for part, item in zip(elts, value.elts, strict=True):
                        self.assign(part, item)
                elif self.kind(value) == PLAIN:
                    self.bind(target, PLAIN)
                else:
                    step = self.step(value.func) if isinstance(value, ast.Call) else None
                    if step is None or len(step.outputs) != len(elts) or len(elts) < 2:
                        raise Eager(target, "a step's result is unpacked")
                    self.bind(target, RESULT)
            case ast.Attribute() | ast.Subscript():
                self.plain(value, "an assignment to a part of something")
                self.plain(target.value, "an assignment to a part of it")
                self.effect(target)
            case _:
                self.plain(value, "an assignment")

    def bind(self, target: ast.expr, kind: int) -> None:
        if isinstance(target, ast.Name):
            self.kinds[target.id] = max(kind, self.kinds.get(target.id, PLAIN))
        elif isinstance(target, ast.Tuple | ast.List):
            for part in target.elts:
                self.bind(part, kind)
        elif isinstance(target, ast.Starred):
            self.bind(target.value, kind)

    # -- expressions --

    def plain(self, node: ast.expr, use: str) -> None:
        """``node`` must not hold a step's result."""
        if self.kind(node) != PLAIN:
            raise Eager(node, f"{use} needs the value of a step's result")

    def kind(self, node: ast.expr) -> int:
        """PLAIN, RESULT or PACK; raises :class:`Eager` for a use that needs the real value."""
        match node:
            case ast.Constant():
                return PLAIN
            case ast.Name(id=name):
                return self.kinds.get(name, PLAIN) if name in self.local else PLAIN
            case ast.Call():
                return self.call(node)
            case ast.Attribute(value=value):
                kind = self.kind(value)
                if kind == PACK:
                    raise Eager(node, "a part of a collection of step results is used")
                return kind
            case ast.Subscript(value=value, slice=index):
                self.plain(index, "`[...]`")
                kind = self.kind(value)
                return RESULT if kind else PLAIN
            case ast.Slice():
                for part in (node.lower, node.upper, node.step):
                    if part is not None:
                        self.plain(part, "a slice")
                return PLAIN
            case ast.List(elts=elts) | ast.Tuple(elts=elts):
                for part in elts:
                    if isinstance(part, ast.Starred):
                        self.plain(part.value, "`*`")
                return self.pack([part for part in elts if not isinstance(part, ast.Starred)])
            case ast.Dict(keys=keys, values=values):
                for key, value in zip(keys, values, strict=True):
                    if key is None:
                        self.plain(value, "`**`")
                    else:
                        self.plain(key, "a key")
                return self.pack(values)
            case ast.ListComp(elt=elt, generators=generators):
                self.comprehension(generators)
                return self.pack([elt])
            case ast.DictComp(key=key, value=value, generators=generators):
                self.comprehension(generators)
                self.plain(key, "a key")
                return self.pack([value])
            case ast.IfExp(test=test, body=body, orelse=orelse):
                self.plain(test, "`if`")
                return max(self.kind(body), self.kind(orelse))
            case ast.NamedExpr(target=target, value=value):
                kind = self.kind(value)
                self.bind(target, kind)
                return kind
            case ast.BinOp() | ast.BoolOp() | ast.UnaryOp() | ast.Compare() | ast.JoinedStr():
                return self.parts(node)
            case ast.FormattedValue() | ast.Set() | ast.Starred():
                return self.parts(node)
        self.opaque(node)
        return PLAIN

    def parts(self, node: ast.expr) -> int:
        for part in ast.iter_child_nodes(node):
            if isinstance(part, ast.expr):
                self.plain(part, _word(node))
        return PLAIN

    def pack(self, items: list[ast.expr]) -> int:
        if any([self.kind(item) for item in items]):
            self.packs = True
            return PACK
        return PLAIN

    def comprehension(self, generators: list[ast.comprehension]) -> None:
        for generator in generators:
            if generator.is_async:
                raise Eager(generator.iter, "an async comprehension")
            self.plain(generator.iter, "`for`")
            self.bind(generator.target, PLAIN)
            for test in generator.ifs:
                self.plain(test, "`if`")

    def call(self, node: ast.Call) -> int:
        step = self.step(node.func)
        values = [*node.args, *(keyword.value for keyword in node.keywords)]
        if step is not None:
            for value in values:
                if isinstance(value, ast.Starred):
                    self.plain(value.value, "`*`")
                else:
                    self.kind(value)
            for keyword in node.keywords:
                if keyword.arg is None:
                    self.plain(keyword.value, "`**`")
            self.calls.append(node)
            self.seen_step = True
            return RESULT
        if isinstance(node.func, ast.Attribute):
            owner = self.step(node.func.value)
            if owner is not None and node.func.attr in ("submit", "map"):
                raise Eager(node, f"`.{node.func.attr}()` starts a step at once")
            if self.append(node, node.func):
                return PLAIN
            self.plain(node.func.value, "a method")
        else:
            self.plain(node.func, "a call")
        for value in values:
            self.plain(
                value.value if isinstance(value, ast.Starred) else value,
                f"`{ast.unparse(node.func)}()`",
            )
        return PLAIN

    def append(self, node: ast.Call, func: ast.Attribute) -> bool:
        """``results.append(step(x))`` on a list made here, which no other name holds."""
        if not (
            func.attr == "append"
            and isinstance(func.value, ast.Name)
            and func.value.id in self.local
            and func.value.id not in self.shared
            and len(node.args) == 1
            and not node.keywords
            and self.kinds.get(func.value.id, PLAIN) != RESULT
            and func.value.id in self.lists
        ):
            return False
        if self.kind(node.args[0]):
            self.packs = True
            self.kinds[func.value.id] = PACK
        return self.kinds.get(func.value.id, PLAIN) == PACK

    # -- a body whose graph never changes --

    def straight(self, statements: list[ast.stmt]) -> bool:
        """Whether the body is only step calls on inputs, constants and results, then a return."""
        for statement in statements[:-1]:
            match statement:
                case ast.Expr(value=ast.Constant()):
                    pass
                case ast.Expr(value=ast.Call() as value):
                    if self.step(value.func) is None or not self.simple(value):
                        return False
                case ast.Assign(value=value, targets=targets):
                    if not all(_names_only(target) for target in targets):
                        return False
                    if not self.simple(value):
                        return False
                case ast.AnnAssign(target=ast.Name(), value=ast.expr() as value):
                    if not self.simple(value):
                        return False
                case _:
                    return False
        match statements[-1]:
            case ast.Return(value=None) | ast.Pass():
                return True
            case ast.Return(value=value) | ast.Expr(value=ast.Call() as value):
                return value is not None and self.simple(value)
            case ast.Assign(value=value, targets=targets):
                return all(_names_only(target) for target in targets) and self.simple(value)
        return False

    def simple(self, node: ast.expr) -> bool:
        match node:
            case ast.Constant():
                return True
            case ast.Name(id=name):
                return name in self.local
            case ast.Call(func=func, args=args, keywords=keywords):
                return (
                    isinstance(self.meaning(func), Step)
                    and all(self.simple(arg) for arg in args)
                    and all(k.arg is not None and self.simple(k.value) for k in keywords)
                )
            case ast.Attribute(value=value):
                return self.kind(value) == RESULT and self.simple(value)
            case ast.Subscript(value=value, slice=ast.Constant()):
                return self.kind(value) == RESULT and self.simple(value)
            case ast.List(elts=elts) | ast.Tuple(elts=elts):
                return all(self.simple(item) for item in elts)
            case ast.Dict(keys=keys, values=values):
                return all(isinstance(key, ast.Constant) for key in keys) and all(
                    self.simple(value) for value in values
                )
        return False


def _names_only(target: ast.expr) -> bool:
    if isinstance(target, ast.Tuple | ast.List):
        return all(isinstance(part, ast.Name) for part in target.elts)
    return isinstance(target, ast.Name)


def _locals(definition: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    """Names that the body binds, parameters included."""
    args = definition.args
    names = {arg.arg for arg in (*args.posonlyargs, *args.args, *args.kwonlyargs)}
    names |= {arg.arg for arg in (args.vararg, args.kwarg) if arg is not None}
    declared: set[str] = set()
    for node in ast.walk(definition):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store | ast.Del):
            names.add(node.id)
        elif isinstance(node, ast.Global | ast.Nonlocal):
            declared.update(node.names)
        elif isinstance(node, ast.alias):
            names.add((node.asname or node.name).split(".")[0])
        elif isinstance(node, ast.ExceptHandler) and node.name:
            names.add(node.name)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            if node is not definition:
                names.add(node.name)
    return names - declared


def _lists(definition: ast.AST) -> set[str]:
    """Names that the body binds to list displays only."""
    displays: dict[str, int] = {}
    stores: dict[str, int] = {}
    for node in ast.walk(definition):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.List):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    displays[target.id] = displays.get(target.id, 0) + 1
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            stores[node.id] = stores.get(node.id, 0) + 1
    return {name for name, count in displays.items() if stores.get(name) == count}


def _word(node: ast.AST) -> str:
    words: dict[type, str] = {
        ast.JoinedStr: "an f-string",
        ast.Compare: "a comparison",
        ast.BinOp: "an operator",
        ast.BoolOp: "`and` or `or`",
        ast.UnaryOp: "an operator",
        ast.Try: "try",
        ast.With: "with",
        ast.Lambda: "lambda",
        ast.FunctionDef: "def",
        ast.Set: "a set",
    }
    return words.get(type(node), type(node).__name__.lower())


# -- what else the text tells ----------------------------------------------------------------


def step_reader(
    function: Callable[..., Any], analysis: Analysis
) -> Callable[[ast.expr], Step | None]:
    """A function that says which step an expression of the body names, if any."""
    if analysis.definition is None:
        return lambda node: None
    reading = _Reading(function, analysis.definition)

    def named(node: ast.expr) -> Step | None:
        try:
            return reading.step(node)
        except Eager:
            return None

    return named


def unknown_calls(function: Callable[..., Any], analysis: Analysis) -> list[ast.Name]:
    """Names that the body calls and that mean nothing now, outside of any ``try``."""
    if analysis.definition is None:
        return []
    reading = _Reading(function, analysis.definition)
    found: list[ast.Name] = []

    def walk(node: ast.AST) -> None:
        if isinstance(node, ast.Try | ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            return
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            name = node.func
            if name.id not in reading.local and reading.meaning(name) is UNKNOWN:
                found.append(name)
        for child in ast.iter_child_nodes(node):
            walk(child)

    for statement in analysis.definition.body:
        walk(statement)
    return found


def used_before_made(definition: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.Name | None:
    """A variable that a plain statement of the body reads and only a later one assigns."""
    args = definition.args
    made = {arg.arg for arg in (*args.posonlyargs, *args.args, *args.kwonlyargs)}
    made |= {arg.arg for arg in (args.vararg, args.kwarg) if arg is not None}
    later = _locals(definition) - made
    for statement in definition.body:
        names = [node for node in ast.walk(statement) if isinstance(node, ast.Name)]
        stored = {node.id for node in names if not isinstance(node.ctx, ast.Load)}
        if isinstance(statement, ast.Assign | ast.AnnAssign | ast.Expr | ast.Return):
            targets = getattr(statement, "targets", [getattr(statement, "target", None)])
            own = {n.id for t in targets if t for n in ast.walk(t) if isinstance(n, ast.Name)}
            inner = stored - own  # bound by a comprehension or by `:=`
            for node in names:
                if isinstance(node.ctx, ast.Load) and node.id in later - made - inner:
                    return node
        made |= stored
        for node in ast.walk(statement):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                made.add(node.name)
            elif isinstance(node, ast.alias):
                made.add((node.asname or node.name).split(".")[0])
    return None
