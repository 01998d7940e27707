"""Where freezing or storing ends: each is named."""

from __future__ import annotations

from tests.kernel.snapshots.cases.case import case

CASES = [
    case(
        "global-writes",
        """
            n = 1
            def step(x):
                global n
                old, n = n, x
                return old
        """,
        "n = 500",
        call="(step(3), step(1))",
        noted=("writes the global `n`", "pipeline_state"),
    ),
    case(
        "eval-by-text",
        """
            hidden = 4
            def step(x):
                try:
                    return eval('hidden') + x
                except NameError:
                    return 'absent'
        """,
        "hidden = 40",
        frozen=False,
        noted=("uses `eval`", "capture="),
    ),
    case(
        "eval-with-extra",
        """
            hidden = 4
            def step(x): return eval('hidden') + globals()['hidden'] + x
        """,
        "hidden = 40",
        extra=("hidden",),
    ),
    case(
        "print-and-display",
        """
            k = 4
            from IPython.display import display
            def step(x):
                print('hello')
                return callable(display), k
        """,
        "k = 40",
    ),
    case(
        "open-text-file",
        r"""
            import tempfile, os
            fd, path = tempfile.mkstemp()
            os.write(fd, b'line\n'); os.close(fd)
            f = open(path)
            k = 4
            def step(x):
                f.seek(0)
                return f.read(), k
        """,
        "k = 40",
    ),
    case(
        "shell-command",
        """
            k = 4
            def step(x):
                lines = !echo hi
                return list(lines), k
        """,
        "k = 40",
        noted=("uses the shell",),
    ),
    case(
        "duckdb-connection",
        """
            import duckdb
            con = duckdb.connect()
            k = 4
            def h(x): return con.execute('select 1').fetchone()
            def step(x): return h(x), k
        """,
        "k = 40",
        stored=False,
        noted=("`con`, used by `h`", "on_init", "con <- h <- step"),
    ),
    case(
        "generator-object",
        """
            import itertools
            def numbers():
                while True: yield 1
            g = numbers()
            k = 4
            def step(x): return next(g), k
        """,
        "k = 40",
        stored=False,
        noted=("`g`, used by `step`",),
    ),
    case(
        "thread-pool",
        """
            import concurrent.futures
            pool = concurrent.futures.ThreadPoolExecutor(1)
            k = 4
            def step(x): return pool.submit(int, x).result(), k
        """,
        "k = 40",
        stored=False,
        noted=("`pool`, used by `step`",),
    ),
    case(
        "pool-inside-an-instance",
        """
            import concurrent.futures
            class Agent:
                def __init__(self): self.pool = concurrent.futures.ThreadPoolExecutor(1)
                def run(self, x): return self.pool.submit(int, x).result(), k
            k = 4
            agent = Agent()
            def step(x): return agent.run(x)
        """,
        "k = 40",
        stored=False,
        noted=("`agent.pool`, used by `step`",),
    ),
    case(
        "context-variable",
        """
            import contextvars
            v = contextvars.ContextVar('v', default=1)
            k = 4
            def step(x): return v.get(), k
        """,
        "k = 40",
        stored=False,
        noted=("`v`, used by `step`",),
    ),
    case(
        "weak-reference",
        """
            import weakref
            class A: k = 4
            a = A()
            w = weakref.ref(a)
            def step(x): return w() is not None, k
            k = 1
        """,
        "k = 40",
        stored=False,
        noted=("`w`, used by `step`",),
    ),
    case(
        "frompyfunc",
        """
            import numpy as np
            k = 4
            def helper(x): return x * k
            u = np.frompyfunc(helper, 1, 1)
            def step(x): return u(x)
        """,
        "k = 40",
        frozen=False,
        stored=False,
        noted=("its function `helper` stays live",),
    ),
    case(
        "instance-with-del",
        """
            k = 4
            LOG = []
            class R:
                def get(self): return k
                def __del__(self): LOG.append('closed')
            r = R()
            def step(x): return r.get()
        """,
        "k = 40",
        frozen=False,
        stored=False,
        noted=("__del__",),
        drifts=("r",),
    ),
    case(
        "library-function-patched",
        """
            import json
            original = json.loads
            def mine(text): return 'patched'
            json.loads = mine
            def step(x): return json.loads('1')
        """,
        "json.loads = original",
        frozen=False,
        noted=("`json.loads` was replaced", "`mine`"),
        fresh="1",
    ),
    case(
        "large-list-mutated",
        """
            rows = list(range(20_000))
            def step(x): return rows[0]
        """,
        "rows[0] = 99",
        frozen=False,
        drifts=("rows",),
    ),
    case(
        "large-array-mutated",
        """
            import numpy as np
            W = np.ones(50_000)
            def step(x): return float(W.sum())
        """,
        "W[0] = 99",
        frozen=False,
        drifts=("W",),
    ),
    case(
        "large-array-copied-on-request",
        """
            import numpy as np
            W = np.ones(50_000)
            def step(x): return float(W.sum())
        """,
        "W[0] = 99",
        copy=("W",),
    ),
    case(
        "deeply-nested-tuple",
        """
            def f(): return k
            k = 4
            t = f
            for _ in range(20_000): t = (t,)
            def step(x):
                v = t
                while isinstance(v, tuple): v = v[0]
                return v()
        """,
        "k = 40",
        frozen=False,
        stored=False,
        noted=("stays live",),
        drifts=("t…",),
    ),
    case(
        "missing-name",
        "def step(x): return undefined_name if x is None else x",
        "def step(x): return 'edited'",
        noted=("uses `undefined_name`, which the notebook does not define",),
    ),
]
