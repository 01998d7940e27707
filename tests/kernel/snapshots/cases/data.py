"""Data, models and frames."""

from __future__ import annotations

from tests.kernel.snapshots.cases.case import case

_N = "import numpy as np\nimport pandas as pd\n"

CASES = [
    case(
        "transformer-class",
        _N + "from sklearn.base import BaseEstimator, TransformerMixin\nk = 4\n"
        "class Scale(BaseEstimator, TransformerMixin):\n    def __init__(self, f=2): self.f = f\n"
        "    def fit(self, X, y=None):\n        self.mean_ = X.mean(0)\n        return self\n    def transform(self, X): return (X - self.mean_) * self.f * k\n"
        "t = Scale(3).fit(np.arange(6.).reshape(3, 2))\ndef step(x): return t.transform(np.full((1, 2), float(x))).tolist(), t.get_params()",
        "k = 40\nt.f = 9\nt.fit(np.ones((2, 2)))",
    ),
    case(
        "function-transformer-in-pipeline",
        _N
        + "from sklearn.pipeline import make_pipeline\nfrom sklearn.preprocessing import FunctionTransformer\nfrom sklearn.linear_model import LinearRegression\n"
        "k = 4\ndef add(X): return X + k\nX = np.arange(8.).reshape(4, 2)\n"
        "model = make_pipeline(FunctionTransformer(add), LinearRegression()).fit(X, X.sum(1))\n"
        "def step(x): return model.predict(np.full((1, 2), float(x))).round(6).tolist()",
        "k = 40\n---\nmodel.fit(X, X.sum(1) * 100)",
    ),
    case(
        "forest-refit",
        _N
        + "from sklearn.ensemble import RandomForestClassifier\nrng = np.random.default_rng(0)\nX = rng.random((60, 3)); y = (X.sum(1) > 1.5).astype(int)\n"
        "model = RandomForestClassifier(8, random_state=0).fit(X, y)\ndef step(x): return model.predict_proba(X[:3] / x).tolist()",
        "model.fit(X, 1 - y)",
    ),
    case(
        "sgd-partial-fit",
        _N
        + "from sklearn.linear_model import SGDClassifier\nX = np.random.default_rng(0).random((60, 3)); y = (X.sum(1) > 1.5).astype(int)\n"
        "model = SGDClassifier(random_state=0).fit(X, y)\ndef step(x): return model.decision_function(X[:2]).round(9).tolist()",
        "model.partial_fit(X, 1 - y)",
    ),
    case(
        "frame",
        _N + "df = pd.DataFrame({'a': [1, 2, 3], 's': ['x', 'y', 'z']})\ns = df['a']\n"
        "def step(x): return df.to_dict('list'), s.tolist(), x",
        "df.loc[0, 'a'] = 100\n---\ndf.drop(columns='s', inplace=True)\n---\ns.iloc[1] = 50",
    ),
    case(
        "large-frame-in-place",
        _N + "df = pd.DataFrame({'a': np.arange(100_000.0)})\nindexed = {'frame': df}\n"
        "def step(x): return float(df['a'].sum()), float(indexed['frame'].a[x])",
        "df.loc[:, 'a'] = 0.0\n---\ndf.loc[3, 'a'] = -1",
    ),
    case(
        "frame-subclass",
        _N
        + "k = 4\nclass Sales(pd.DataFrame):\n    @property\n    def _constructor(self): return Sales\n    def total(self): return int(self['a'].sum()) * k\n"
        "df = Sales({'a': [1, 2, 3]})\ndef step(x): return df.total(), type(df.head(1)).__name__",
        "k = 40\ndf.loc[0, 'a'] = 100",
    ),
    case(
        "module-like-class-with-arrays",
        _N
        + "class Net:\n    def __init__(self): self.w = np.full(200_000, 0.5); self.b = np.ones(3)\n    def __call__(self, x): return float(self.w.sum()) + float(self.b[0]) * x\n"
        "net = Net()\ndef step(x): return net(x), net.w.size",
        "net.b[0] = 100\n---\nnet.w = np.zeros(1)\n---\nNet.__call__ = lambda self, x: 'edited'",
    ),
    case(
        "dict-freezes-small-and-shares-large",
        _N
        + "W = np.ones(100_000)\nP = {'W': W, 't': 0.5, 'l': [1, 2]}\ndef step(x): return float(P['W'].sum()), P['t'], P['l'], P['W'] is W",
        "P['t'] = 9\nP['l'].append(3)\nP['W'] = None",
    ),
    case(
        "random-generator",
        _N
        + "g = np.random.default_rng(7)\nr = np.random.RandomState(7)\ndef step(x):\n    import copy\n    return float(copy.deepcopy(g).random()), float(copy.deepcopy(r).rand())",
        "g.random(5); r.rand(5)",
    ),
    case(
        "small-values",
        _N + "import datetime, decimal, pathlib, re, uuid, types, argparse, collections\n"
        "V = [datetime.date(2026, 1, 2), decimal.Decimal('1.5'), pathlib.Path('/a/b'), re.compile('a+'), uuid.UUID(int=1), np.float32(2), np.arange(3), slice(1, 2), range(3), b'x', 1j, None, ...]\n"
        "NS = types.SimpleNamespace(a=1); AN = argparse.Namespace(b=2); DQ = collections.deque([1], maxlen=3); OD = collections.OrderedDict(z=1); CN = collections.Counter('aab')\n"
        "def step(x): return [str(v) for v in V], V[3].match('aa').group(), NS, AN, DQ, OD, CN",
        "V.clear(); NS.a = 5; AN.b = 6; DQ.append(4); OD['y'] = 2; CN['a'] = 99",
    ),
    case(
        "locks",
        "import threading\nlock = threading.Lock(); rlock = threading.RLock(); k = 4\n"
        "def step(x):\n    with lock, rlock: return k, lock.locked()",
        "k = 40",
    ),
    case(
        "events-and-conditions",
        "import threading, queue\nevent = threading.Event(); k = 4\ndef step(x): return event.is_set(), k",
        "k = 40",
    ),
    case(
        "large-plain-containers",
        "table = {i: str(i) for i in range(20_000)}\nrows = [{'a': i, 'b': [i]} for i in range(12_000)]\nbig = 'x' * 100_000\nraw = b'y' * 100_000\n"
        "def step(x): return table[x], rows[x], len(big), len(raw), len(rows)",
        "table = rows = big = raw = None",
    ),
    case(
        "object-array-of-instances",
        _N
        + "k = 4\nclass A:\n    def __init__(self, x): self.x = x\n    def get(self): return self.x * k\n"
        "arr = np.array([A(1), A(2)], dtype=object)\nframe = pd.DataFrame({'o': [A(3)]})\ndef step(x): return [a.get() for a in arr], frame.o[0].get()",
        "k = 40\narr[0].x = 50",
    ),
    case(
        "library-sentinels",
        _N
        + "import dataclasses, inspect\nM = dataclasses.MISSING; E = inspect.Parameter.empty; NA = pd.NA; k = 4\n"
        "def step(x): return M is dataclasses.MISSING, E is inspect.Parameter.empty, NA is pd.NA, pd.NaT is pd.NaT, k",
        "k = 40",
    ),
    case(
        "own-sentinel",
        "MISSING = object()\nk = 4\ndef get(v=MISSING): return v is MISSING\ndef step(x): return get(), get(x), k",
        "k = 40\nMISSING = object()",
    ),
]
