"""Functions of every sort, and what they close over."""

from __future__ import annotations

from tests.kernel.snapshots.cases.case import case

CASES = [
    case(
        "helper",
        "scale = 2\ndef helper(x): return x * scale\n---\ndef step(x): return helper(x) + scale",
        "scale = 100\n---\ndef helper(x): return -1",
    ),
    case(
        "recursion",
        "def step(n): return 1 if n < 2 else n * step(n - 1)",
        "def step(n): return -7",
    ),
    case(
        "mutual-recursion",
        "def even(n): return n == 0 or odd(n - 1)\ndef odd(n): return n != 0 and even(n - 1)\n"
        "def step(n): return even(n)",
        "def odd(n): return 'edited'\n---\ndef even(n): return 'edited'",
    ),
    case("lambda", "k = 4\nstep = lambda x: x * k", "k = 40"),
    case(
        "two-lambdas-on-one-line",
        "k = 4\na, b = (lambda x: x + k), (lambda x: x - k)\ndef step(x): return a(x), b(x)",
        "k = 40",
    ),
    case(
        "comprehension",
        "k = 4\ndef step(n): return [i * k for i in range(n)], {i: k for i in range(n) if k}",
        "k = 40",
    ),
    case(
        "generator",
        "k = 4\ndef stream(n):\n    for i in range(n): yield i * k\ndef step(n): return list(stream(n))",
        "k = 40",
    ),
    case(
        "async-function",
        "k = 4\nasync def helper(x): return x * k\nasync def step(x): return await helper(x)",
        "k = 40",
        call="run(step(3))",
    ),
    case(
        "async-generator",
        "k = 4\nasync def stream(n):\n    for i in range(n): yield i * k\n"
        "async def step(n): return [i async for i in stream(n)]",
        "k = 40",
        call="run(step(3))",
    ),
    case(
        "closure-rebound",
        "def make():\n    k = 4\n    def step(x): return x * k\n    def edit(v):\n"
        "        nonlocal k\n        k = v\n    return step, edit\nstep, edit = make()",
        "edit(40)",
    ),
    case(
        "closures-share-a-cell",
        "def make():\n    n = 0\n    def up():\n        nonlocal n\n        n += 1\n"
        "    def get(): return n\n    return up, get\nup, get = make()\n"
        "def step(x):\n    before = get()\n    up(); up()\n    return get() - before",
        "def up(): pass",
    ),
    case(
        "empty-cell-and-class-in-function",
        "k = 4\ndef step(x):\n    class Local:\n        value = k\n        def get(self): return self.value * x\n"
        "    return Local().get()",
        "k = 40",
    ),
    case(
        "mutable-default",
        "def step(x, seen=[1]): return [*seen, x]",
        "step.__defaults__[0].append(99)",
    ),
    case(
        "keyword-default",
        "K = {'a': 1}\ndef step(x, *, k=K): return x + k['a']",
        "K['a'] = 50",
    ),
    case(
        "own-decorator-with-wraps",
        "import functools\nk = 4\ndef twice(f):\n    @functools.wraps(f)\n"
        "    def inner(*a): return f(*a) * k\n    return inner\n---\n@twice\ndef step(x): return x + k",
        "k = 40",
    ),
    case(
        "partial",
        "import functools\nk = 4\ndef add(a, b): return a + b + k\nstep = functools.partial(add, 10)",
        "k = 40\n---\ndef add(a, b): return 0",
    ),
    case(
        "partialmethod",
        "import functools\nk = 4\nclass A:\n    def add(self, a, b): return a + b + k\n"
        "    ten = functools.partialmethod(add, 10)\ndef step(x): return A().ten(x)",
        "k = 40",
    ),
    case(
        "lru-cache",
        "import functools\nk = 4\n@functools.lru_cache(maxsize=8)\ndef helper(x): return x * k\n"
        "def step(x): return helper(x), helper.cache_parameters()['maxsize']",
        "k = 40\nhelper.cache_clear()",
    ),
    case(
        "lru-cache-recursive",
        "import functools\nk = 1\n@functools.cache\ndef fib(n): return n * k if n < 2 else fib(n - 1) + fib(n - 2)\n"
        "def step(n): return fib(n)",
        "k = 40\nfib.cache_clear()",
    ),
    case(
        "lru-cache-on-method",
        "import functools\nk = 4\nclass A:\n    @functools.lru_cache\n    def get(self, x): return x * k\n"
        "a = A()\ndef step(x): return a.get(x)",
        "k = 40\nA.get.cache_clear()",
    ),
    case(
        "contextmanager",
        "import contextlib\nk = 4\n@contextlib.contextmanager\ndef scope(x):\n    yield x * k\n"
        "def step(x):\n    with scope(x) as y: return y",
        "k = 40",
    ),
    case(
        "singledispatch",
        "import functools\nk = 4\n@functools.singledispatch\ndef show(x): return ('any', k)\n"
        "@show.register\ndef _(x: int): return ('int', k)\n@show.register(list)\ndef _(x): return ('list', k)\n"
        "def step(x): return show(x), show([x]), show('s')",
        "k = 40\n@show.register\ndef _(x: int): return 'edited'",
    ),
    case(
        "singledispatchmethod",
        "import functools\nk = 4\nclass A:\n    @functools.singledispatchmethod\n    def show(self, x): return ('any', k)\n"
        "    @show.register\n    def _(self, x: int): return ('int', k)\n"
        "def step(x): return A().show(x), A().show('s')",
        "k = 40",
    ),
    case(
        "registry-of-functions",
        "k = 4\nREGISTRY = {}\ndef register(f):\n    REGISTRY[f.__name__] = f\n    return f\n"
        "@register\ndef double(x): return 2 * x * k\n---\n@register\ndef half(x): return x / 2\n---\n"
        "def step(x): return {n: f(x) for n, f in REGISTRY.items()}",
        "k = 40\n---\n@register\ndef half(x): return 'edited'\n---\nREGISTRY['new'] = half",
    ),
    case(
        "defaultdict-of-lambda",
        "import collections\nk = 4\ntable = collections.defaultdict(lambda: k, {'a': 1})\n"
        "def step(x): return table['a'] + table['missing']",
        "k = 40\ntable.clear()",
    ),
    case(
        "vectorize",
        "import numpy as np\nk = 4\n@np.vectorize\ndef helper(x): return x * k\n"
        "def step(x): return helper(np.arange(x)).tolist()",
        "k = 40",
    ),
    case(
        "callable-object-decorator",
        "k = 4\nclass Deco:\n    def __init__(self, f): self.f = f\n    def __call__(self, x): return self.f(x) + k\n"
        "@Deco\ndef step(x): return x * k",
        "k = 40\n---\nDeco.__call__ = lambda self, x: 'edited'",
    ),
    case(
        "function-attributes",
        "def step(x): return x + step.offset\nstep.offset = 5",
        "step.offset = 500",
    ),
    case(
        "string-annotations",
        "from __future__ import annotations\nfrom dataclasses import dataclass\nimport typing\n"
        "@dataclass\nclass Customer:\n    age: int\n    friends: list[Customer]\n"
        "def step(x: Customer) -> list[Customer]: return [x]",
        "class Customer: pass",
        call="(lambda h: (h['x'].__name__, h['x'].__dataclass_fields__.keys(), "
        "typing.get_type_hints(h['x'])['friends'].__args__[0] is h['x'], "
        "h['return'].__args__[0] is h['x']))(typing.get_type_hints(step))",
    ),
    case(
        "pipeline-step-signature",
        "import inspect\nclass Row:\n    def __init__(self, x): self.x = x\n    def __repr__(self): return f'Row({self.x})'\n"
        "SIGNATURE = inspect.Signature([inspect.Parameter('x', inspect.Parameter.POSITIONAL_ONLY, annotation=Row)])\n"
        "def step(x): return SIGNATURE.parameters['x'].annotation(x)",
        "Row.__repr__ = lambda self: 'edited'",
    ),
    case(
        "docstring-and-name-kept",
        "def step(x):\n    'Doc.'\n    return step.__doc__, step.__name__, step.__module__",
        "step.__doc__ = 'edited'",
    ),
]
