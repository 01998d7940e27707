"""Where freezing or storing ends: each is named."""

from __future__ import annotations

from tests.kernel.snapshots.cases.case import case

CASES = [
    case(
        "global-writes",
        "n = 1\ndef step(x):\n    global n\n    old, n = n, x\n    return old",
        "n = 500",
        noted=("writes the global `n`", "pipeline_state"),
        call="(step(3), step(1))",
    ),
    case(
        "eval-by-text",
        "hidden = 4\ndef step(x):\n    try:\n        return eval('hidden') + x\n    except NameError:\n        return 'absent'",
        "hidden = 40",
        noted=("uses `eval`", "extra="),
        frozen=False,
    ),
    case(
        "eval-with-extra",
        "hidden = 4\ndef step(x): return eval('hidden') + globals()['hidden'] + x",
        "hidden = 40",
        extra=("hidden",),
    ),
    case(
        "print-and-display",
        "k = 4\nfrom IPython.display import display\ndef step(x):\n    print('hello')\n    return callable(display), k",
        "k = 40",
    ),
    case(
        "open-text-file",
        "import tempfile, os\nfd, path = tempfile.mkstemp()\nos.write(fd, b'line\\n'); os.close(fd)\nf = open(path)\nk = 4\n"
        "def step(x):\n    f.seek(0)\n    return f.read(), k",
        "k = 40",
    ),
    case(
        "shell-command",
        "k = 4\ndef step(x):\n    lines = !echo hi\n    return list(lines), k",
        "k = 40",
        noted=("uses the shell",),
        stored=True,
    ),
    case(
        "duckdb-connection",
        "import duckdb\ncon = duckdb.connect()\nk = 4\ndef h(x): return con.execute('select 1').fetchone()\ndef step(x): return h(x), k",
        "k = 40",
        stored=False,
        noted=("`con`, used by `h`", "on_init", "con <- h <- step"),
    ),
    case(
        "generator-object",
        "import itertools\ndef numbers():\n    while True: yield 1\ng = numbers()\nk = 4\ndef step(x): return next(g), k",
        "k = 40",
        stored=False,
        noted=("`g`, used by `step`",),
    ),
    case(
        "thread-pool",
        "import concurrent.futures\npool = concurrent.futures.ThreadPoolExecutor(1)\nk = 4\ndef step(x): return pool.submit(int, x).result(), k",
        "k = 40",
        stored=False,
        noted=("`pool`, used by `step`",),
    ),
    case(
        "pool-inside-an-instance",
        "import concurrent.futures\nclass Agent:\n    def __init__(self): self.pool = concurrent.futures.ThreadPoolExecutor(1)\n    def run(self, x): return self.pool.submit(int, x).result(), k\n"
        "k = 4\nagent = Agent()\ndef step(x): return agent.run(x)",
        "k = 40",
        stored=False,
        noted=("`agent.pool`, used by `step`",),
    ),
    case(
        "context-variable",
        "import contextvars\nv = contextvars.ContextVar('v', default=1)\nk = 4\ndef step(x): return v.get(), k",
        "k = 40",
        stored=False,
        noted=("`v`, used by `step`",),
    ),
    case(
        "weak-reference",
        "import weakref\nclass A: k = 4\na = A()\nw = weakref.ref(a)\ndef step(x): return w() is not None, k\nk = 1",
        "k = 40",
        stored=False,
        noted=("`w`, used by `step`",),
    ),
    case(
        "frompyfunc",
        "import numpy as np\nk = 4\ndef helper(x): return x * k\nu = np.frompyfunc(helper, 1, 1)\ndef step(x): return u(x)",
        "k = 40",
        frozen=False,
        stored=False,
        noted=("its function `helper` stays live",),
    ),
    case(
        "instance-with-del",
        "k = 4\nLOG = []\nclass R:\n    def get(self): return k\n    def __del__(self): LOG.append('closed')\nr = R()\ndef step(x): return r.get()",
        "k = 40",
        frozen=False,
        stored=False,
        noted=("__del__",),
        drifts=("r",),
    ),
    case(
        "library-function-patched",
        "import json\noriginal = json.loads\ndef mine(text): return 'patched'\njson.loads = mine\ndef step(x): return json.loads('1')",
        "json.loads = original",
        frozen=False,
        noted=("`json.loads` was replaced", "`mine`"),
        fresh="1",
    ),
    case(
        "large-list-mutated",
        "rows = list(range(20_000))\ndef step(x): return rows[0]",
        "rows[0] = 99",
        frozen=False,
        drifts=("rows",),
    ),
    case(
        "large-array-mutated",
        "import numpy as np\nW = np.ones(50_000)\ndef step(x): return float(W.sum())",
        "W[0] = 99",
        frozen=False,
        drifts=("W",),
    ),
    case(
        "large-array-copied-on-request",
        "import numpy as np\nW = np.ones(50_000)\ndef step(x): return float(W.sum())",
        "W[0] = 99",
        copy=("W",),
    ),
    case(
        "deeply-nested-tuple",
        "def f(): return k\nk = 4\nt = f\nfor _ in range(20_000): t = (t,)\n"
        "def step(x):\n    v = t\n    while isinstance(v, tuple): v = v[0]\n    return v()",
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
