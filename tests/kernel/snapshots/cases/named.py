"""What stays live or is not stored for reasons of its own, and how it is named."""
# ruff: noqa: E501  (the lines are cells of a notebook)

from __future__ import annotations

from tests.kernel.snapshots.cases.case import case

CASES = [
    case(
        "library-class-patched",
        """
            import pandas as pd
            k = 4
            def total(self): return int(self['a'].sum()) * k
            pd.DataFrame.total = total
            df = pd.DataFrame({'a': [1, 2]})
            def step(x): return df.total()
        """,
        "del pd.DataFrame.total",
        frozen=False,
        noted=("`DataFrame.total` was replaced by notebook code (`total`)", "`on_init`"),
        fresh="AttributeError: 'DataFrame' object has no attribute 'total'",
    ),
    case(
        "library-class-replaced",
        """
            import string
            kept = string.Formatter
            class Mine(kept):
                def format(self, text): return 'mine'
            string.Formatter = Mine
            def step(x): return string.Formatter().format('a')
        """,
        "string.Formatter = kept",
        frozen=False,
        noted=("`string.Formatter` was replaced by notebook code (`Mine`)",),
        fresh="'a'",
    ),
    case(
        "library-patched-by-the-step-itself",
        """
            import string
            k = 4
            def mine(text): return k
            def step(x):
                string.capwords = mine
                return string.capwords('a')
        """,
        "k = 40",
    ),
    case(
        "duckdb-function",
        """
            import duckdb
            con = duckdb.connect()
            k = 4
            def times(v: int) -> int: return v * k
            _ = con.create_function('times', times)
            def step(x): return con.execute(f'select times({x})').fetchone()
        """,
        "k = 40",
        frozen=False,
        stored=False,
        noted=("`con`, used by `step`", "what is registered with it too", "on_init"),
    ),
    case(
        "callback-of-c",
        """
            import ctypes
            k = 4
            def helper(a): return a * k
            call = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)(helper)
            def step(x): return call(x)
        """,
        "k = 40",
        frozen=False,
        stored=False,
        noted=("`call`, used by `step`, cannot be copied", "`helper` stays live", "on_init"),
    ),
    case(
        "generator-deep-inside",
        """
            k = 4
            def numbers():
                while True: yield k
            class Source:
                def __init__(self): self.rows = {'g': numbers()}
            source = Source()
            def helper(x): return next(source.rows['g'])
            def step(x): return helper(x)
        """,
        "k = 40",
        frozen=False,
        stored=False,
        noted=(
            "`source.rows['g']`, used by `helper`, is a generator",
            "inside `helper`, or in `on_init`",
            "<- helper <- step",
        ),
    ),
    case(
        "iterator",
        """
            it = iter(range(4, 100))
            k = 4
            def step(x): return k if it is not None else 0
        """,
        "k = 40",
        stored=False,
        noted=("`it`, used by `step`, is an iterator (range_iterator)", "Use a list"),
    ),
    case(
        "map-over-a-helper",
        """
            k = 4
            def helper(v): return v * k
            it = map(helper, list(range(100)))
            def step(x): return it.__reduce__()[1][0](x)
        """,
        "k = 40",
        frozen=False,
        stored=False,
        drifts=("it",),
        noted=("`it`, used by `step`, is an iterator (map)",),
    ),
    case(
        "context-manager-made-outside",
        """
            import contextlib
            @contextlib.contextmanager
            def manager(): yield 4
            c = manager()
            k = 4
            def step(x): return c is None, k
        """,
        "k = 40",
        stored=False,
        noted=("`c.gen`, used by `step`, is a generator",),
    ),
    case(
        "key-of-a-comparison",
        """
            import functools
            k = 1
            key = functools.cmp_to_key(lambda p, q: (q - p) * k)
            def step(x): return sorted([1, x, 2], key=key)
        """,
        "k = -1",
        frozen=False,
        stored=False,
        noted=("`key`, used by `step`, cannot be copied", "`<lambda>` stays live"),
    ),
    case(
        "many-instances",
        """
            k = 4
            class P:
                def __init__(self, x): self.x = x
            ps = [P(i) for i in range(10_001)]
            def step(x): return ps[x].x * k
        """,
        "k = 40",
        noted=("10,001 instances of notebook classes", "an array or a frame"),
    ),
    case(
        "deeply-nested-tuple-of-data",
        """
            t = 4
            for _ in range(5_000): t = (t,)
            def step(x):
                v = t
                while isinstance(v, tuple): v = v[0]
                return v
        """,
        "t = (5,)",
    ),
    case(
        "bound-method-and-operators",
        """
            import operator, functools
            k = 4
            class A:
                def __init__(self, f): self.f = f
                def get(self, x): return self.f * x * k
            get = A(2).get
            item = operator.itemgetter('a'); upper = operator.methodcaller('upper')
            total = functools.partial(functools.reduce, operator.add)
            def step(x): return get(x), item({'a': x}), upper('b'), total([1, x])
        """,
        """
            k = 40
            get.__self__.f = 9
        """,
    ),
    case(
        "nested-helpers-and-inner-classes",
        """
            import pydantic, typing
            k = 4
            def outer():
                def mid(y):
                    def inner(z): return z * k
                    return inner(y) + 1
                return mid
            m = outer()
            class Outer:
                class Inner(pydantic.BaseModel):
                    v: int
                    def get(self): return self.v * k
            T = typing.TypeVar('T', bound=Outer.Inner)
            class Page(pydantic.BaseModel, typing.Generic[T]):
                items: list[T]
            P = Page[Outer.Inner]
            def step(x): return m(x), (lambda v: m(v) + k)(x), P(items=[{'v': x}]).items[0].get(), P.__name__, isinstance(P(items=[]), Page)
        """,
        "k = 40; m = P = None",
    ),
    case(
        "memory-map-and-other-arrays",
        """
            import numpy as np, tempfile
            mm = np.memmap(tempfile.mktemp(), dtype='f8', mode='w+', shape=(100_000,)); mm[:] = 1
            masked = np.ma.masked_array(np.arange(20_000.), np.arange(20_000) % 2 == 0)
            rec = np.rec.array([(1, 2.)], dtype=[('a', int), ('b', float)])
            def step(x): return float(mm.sum()), float(masked.sum()), rec.a.tolist(), type(mm).__name__
        """,
        "mm = masked = rec = None",
    ),
    case(
        "local-module-edited-and-not-loaded-again",
        """
            import wc_mod_f as f
            k = 4
            def step(x): return f.scale(x) * k
        """,
        "k = 40",
        files={"wc_mod_f.py": "def scale(x): return x * 2"},
        edited_files={"wc_mod_f.py": "def scale(x): return x * 20"},
    ),
]
