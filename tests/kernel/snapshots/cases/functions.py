"""Functions of every sort, and what they close over."""
# ruff: noqa: E501  (the lines are cells of a notebook)

from __future__ import annotations

from tests.kernel.snapshots.cases.case import case

CASES = [
    case(
        "helper",
        """
            scale = 2
            def helper(x): return x * scale
            ---
            def step(x): return helper(x) + scale
        """,
        """
            scale = 100
            ---
            def helper(x): return -1
        """,
    ),
    case(
        "recursion",
        "def step(n): return 1 if n < 2 else n * step(n - 1)",
        "def step(n): return -7",
    ),
    case(
        "mutual-recursion",
        """
            def even(n): return n == 0 or odd(n - 1)
            def odd(n): return n != 0 and even(n - 1)
            def step(n): return even(n)
        """,
        """
            def odd(n): return 'edited'
            ---
            def even(n): return 'edited'
        """,
    ),
    case(
        "lambda",
        """
            k = 4
            step = lambda x: x * k
        """,
        "k = 40",
    ),
    case(
        "two-lambdas-on-one-line",
        """
            k = 4
            a, b = (lambda x: x + k), (lambda x: x - k)
            def step(x): return a(x), b(x)
        """,
        "k = 40",
    ),
    case(
        "comprehension",
        """
            k = 4
            def step(n): return [i * k for i in range(n)], {i: k for i in range(n) if k}
        """,
        "k = 40",
    ),
    case(
        "generator",
        """
            k = 4
            def stream(n):
                for i in range(n): yield i * k
            def step(n): return list(stream(n))
        """,
        "k = 40",
    ),
    case(
        "async-function",
        """
            k = 4
            async def helper(x): return x * k
            async def step(x): return await helper(x)
        """,
        "k = 40",
        call="run(step(3))",
    ),
    case(
        "async-generator",
        """
            k = 4
            async def stream(n):
                for i in range(n): yield i * k
            async def step(n): return [i async for i in stream(n)]
        """,
        "k = 40",
        call="run(step(3))",
    ),
    case(
        "closure-rebound",
        """
            def make():
                k = 4
                def step(x): return x * k
                def edit(v):
                    nonlocal k
                    k = v
                return step, edit
            step, edit = make()
        """,
        "edit(40)",
    ),
    case(
        "closures-share-a-cell",
        """
            def make():
                n = 0
                def up():
                    nonlocal n
                    n += 1
                def get(): return n
                return up, get
            up, get = make()
            def step(x):
                before = get()
                up(); up()
                return get() - before
        """,
        "def up(): pass",
    ),
    case(
        "empty-cell-and-class-in-function",
        """
            k = 4
            def step(x):
                class Local:
                    value = k
                    def get(self): return self.value * x
                return Local().get()
        """,
        "k = 40",
    ),
    case(
        "mutable-default",
        "def step(x, seen=[1]): return [*seen, x]",
        "step.__defaults__[0].append(99)",
    ),
    case(
        "keyword-default",
        """
            K = {'a': 1}
            def step(x, *, k=K): return x + k['a']
        """,
        "K['a'] = 50",
    ),
    case(
        "own-decorator-with-wraps",
        """
            import functools
            k = 4
            def twice(f):
                @functools.wraps(f)
                def inner(*a): return f(*a) * k
                return inner
            ---
            @twice
            def step(x): return x + k
        """,
        "k = 40",
    ),
    case(
        "partial",
        """
            import functools
            k = 4
            def add(a, b): return a + b + k
            step = functools.partial(add, 10)
        """,
        """
            k = 40
            ---
            def add(a, b): return 0
        """,
    ),
    case(
        "partialmethod",
        """
            import functools
            k = 4
            class A:
                def add(self, a, b): return a + b + k
                ten = functools.partialmethod(add, 10)
            def step(x): return A().ten(x)
        """,
        "k = 40",
    ),
    case(
        "lru-cache",
        """
            import functools
            k = 4
            @functools.lru_cache(maxsize=8)
            def helper(x): return x * k
            def step(x): return helper(x), helper.cache_parameters()['maxsize']
        """,
        """
            k = 40
            helper.cache_clear()
        """,
    ),
    case(
        "lru-cache-recursive",
        """
            import functools
            k = 1
            @functools.cache
            def fib(n): return n * k if n < 2 else fib(n - 1) + fib(n - 2)
            def step(n): return fib(n)
        """,
        """
            k = 40
            fib.cache_clear()
        """,
    ),
    case(
        "lru-cache-on-method",
        """
            import functools
            k = 4
            class A:
                @functools.lru_cache
                def get(self, x): return x * k
            a = A()
            def step(x): return a.get(x)
        """,
        """
            k = 40
            A.get.cache_clear()
        """,
    ),
    case(
        "contextmanager",
        """
            import contextlib
            k = 4
            @contextlib.contextmanager
            def scope(x):
                yield x * k
            def step(x):
                with scope(x) as y: return y
        """,
        "k = 40",
    ),
    case(
        "singledispatch",
        """
            import functools
            k = 4
            @functools.singledispatch
            def show(x): return ('any', k)
            @show.register
            def _(x: int): return ('int', k)
            @show.register(list)
            def _(x): return ('list', k)
            def step(x): return show(x), show([x]), show('s')
        """,
        """
            k = 40
            @show.register
            def _(x: int): return 'edited'
        """,
    ),
    case(
        "singledispatchmethod",
        """
            import functools
            k = 4
            class A:
                @functools.singledispatchmethod
                def show(self, x): return ('any', k)
                @show.register
                def _(self, x: int): return ('int', k)
            def step(x): return A().show(x), A().show('s')
        """,
        "k = 40",
    ),
    case(
        "registry-of-functions",
        """
            k = 4
            REGISTRY = {}
            def register(f):
                REGISTRY[f.__name__] = f
                return f
            @register
            def double(x): return 2 * x * k
            ---
            @register
            def half(x): return x / 2
            ---
            def step(x): return {n: f(x) for n, f in REGISTRY.items()}
        """,
        """
            k = 40
            ---
            @register
            def half(x): return 'edited'
            ---
            REGISTRY['new'] = half
        """,
    ),
    case(
        "defaultdict-of-lambda",
        """
            import collections
            k = 4
            table = collections.defaultdict(lambda: k, {'a': 1})
            def step(x): return table['a'] + table['missing']
        """,
        """
            k = 40
            table.clear()
        """,
    ),
    case(
        "vectorize",
        """
            import numpy as np
            k = 4
            @np.vectorize
            def helper(x): return x * k
            def step(x): return helper(np.arange(x)).tolist()
        """,
        "k = 40",
    ),
    case(
        "callable-object-decorator",
        """
            k = 4
            class Deco:
                def __init__(self, f): self.f = f
                def __call__(self, x): return self.f(x) + k
            @Deco
            def step(x): return x * k
        """,
        """
            k = 40
            ---
            Deco.__call__ = lambda self, x: 'edited'
        """,
    ),
    case(
        "function-attributes",
        """
            def step(x): return x + step.offset
            step.offset = 5
        """,
        "step.offset = 500",
    ),
    case(
        "string-annotations",
        """
            from __future__ import annotations
            from dataclasses import dataclass
            import typing
            @dataclass
            class Customer:
                age: int
                friends: list[Customer]
            def step(x: Customer) -> list[Customer]: return [x]
        """,
        "class Customer: pass",
        call="""
            (lambda h: (h['x'].__name__, h['x'].__dataclass_fields__.keys(), typing.get_type_hints(h['x'])['friends'].__args__[0] is h['x'], h['return'].__args__[0] is h['x']))(typing.get_type_hints(step))
        """,
    ),
    case(
        "pipeline-step-signature",
        """
            import inspect
            class Row:
                def __init__(self, x): self.x = x
                def __repr__(self): return f'Row({self.x})'
            SIGNATURE = inspect.Signature([inspect.Parameter('x', inspect.Parameter.POSITIONAL_ONLY, annotation=Row)])
            def step(x): return SIGNATURE.parameters['x'].annotation(x)
        """,
        "Row.__repr__ = lambda self: 'edited'",
    ),
    case(
        "docstring-and-name-kept",
        """
            def step(x):
                'Doc.'
                return step.__doc__, step.__name__, step.__module__
        """,
        "step.__doc__ = 'edited'",
    ),
]
