"""Reading a body: what is done with the results of steps."""

from __future__ import annotations

import ast
import logging
from collections.abc import Callable
from typing import Any

from warmcell.analysis.meaning import Definition, Names
from warmcell.steps import Step

__all__ = ["PACK", "PLAIN", "RESULT", "Eager", "Reading"]

PLAIN, RESULT, PACK = 0, 1, 2  # no result of a step; one, or a part of one; a display of some
_HARMLESS_MODULES = ("warmcell", "logging")


class Eager(Exception):
    """Raised where a body does something that needs real values."""

    def __init__(self, node: ast.AST, reason: str) -> None:
        super().__init__(reason)
        self.node = node


class Reading(Names):
    """One walk over a body: which names hold step results, and what is done with them."""

    def __init__(self, function: Callable[..., Any], definition: Definition) -> None:
        super().__init__(function, definition)
        self.kinds: dict[str, int] = {}  # of the variables of the body
        self.calls: list[ast.Call] = []  # that may be deferred
        self.packs = False  # whether any display holds a result
        self.seen_step = False
        self.shared: set[str] = set()  # lists that have two names
        self.lists = _lists(definition)

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
        kinds = [self.kind(item) for item in items]  # of each, as reading also checks them
        if any(kinds):
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
            if isinstance(node.func, ast.Call):  # step.with_options(...)(...)
                for option in (*node.func.args, *(word.value for word in node.func.keywords)):
                    self.plain(option, "an option")
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
