"""Data, models and frames."""
# ruff: noqa: E501  (the lines are cells of a notebook)

from __future__ import annotations

from tests.kernel.snapshots.cases.case import case

CASES = [
    case(
        "transformer-class",
        """
            import numpy as np
            import pandas as pd
            from sklearn.base import BaseEstimator, TransformerMixin
            k = 4
            class Scale(BaseEstimator, TransformerMixin):
                def __init__(self, f=2): self.f = f
                def fit(self, X, y=None):
                    self.mean_ = X.mean(0)
                    return self
                def transform(self, X): return (X - self.mean_) * self.f * k
            t = Scale(3).fit(np.arange(6.).reshape(3, 2))
            def step(x): return t.transform(np.full((1, 2), float(x))).tolist(), t.get_params()
        """,
        """
            k = 40
            t.f = 9
            t.fit(np.ones((2, 2)))
        """,
    ),
    case(
        "function-transformer-in-pipeline",
        """
            import numpy as np
            import pandas as pd
            from sklearn.pipeline import make_pipeline
            from sklearn.preprocessing import FunctionTransformer
            from sklearn.linear_model import LinearRegression
            k = 4
            def add(X): return X + k
            X = np.arange(8.).reshape(4, 2)
            model = make_pipeline(FunctionTransformer(add), LinearRegression()).fit(X, X.sum(1))
            def step(x): return model.predict(np.full((1, 2), float(x))).round(6).tolist()
        """,
        """
            k = 40
            ---
            model.fit(X, X.sum(1) * 100)
        """,
    ),
    case(
        "forest-refit",
        """
            import numpy as np
            import pandas as pd
            from sklearn.ensemble import RandomForestClassifier
            rng = np.random.default_rng(0)
            X = rng.random((60, 3)); y = (X.sum(1) > 1.5).astype(int)
            model = RandomForestClassifier(8, random_state=0).fit(X, y)
            def step(x): return model.predict_proba(X[:3] / x).tolist()
        """,
        "model.fit(X, 1 - y)",
    ),
    case(
        "sgd-partial-fit",
        """
            import numpy as np
            import pandas as pd
            from sklearn.linear_model import SGDClassifier
            X = np.random.default_rng(0).random((60, 3)); y = (X.sum(1) > 1.5).astype(int)
            model = SGDClassifier(random_state=0).fit(X, y)
            def step(x): return model.decision_function(X[:2]).round(9).tolist()
        """,
        "model.partial_fit(X, 1 - y)",
    ),
    case(
        "frame",
        """
            import numpy as np
            import pandas as pd
            df = pd.DataFrame({'a': [1, 2, 3], 's': ['x', 'y', 'z']})
            s = df['a']
            def step(x): return df.to_dict('list'), s.tolist(), x
        """,
        """
            df.loc[0, 'a'] = 100
            ---
            df.drop(columns='s', inplace=True)
            ---
            s.iloc[1] = 50
        """,
    ),
    case(
        "large-frame-in-place",
        """
            import numpy as np
            import pandas as pd
            df = pd.DataFrame({'a': np.arange(100_000.0)})
            indexed = {'frame': df}
            def step(x): return float(df['a'].sum()), float(indexed['frame'].a[x])
        """,
        """
            df.loc[:, 'a'] = 0.0
            ---
            df.loc[3, 'a'] = -1
        """,
    ),
    case(
        "frame-subclass",
        """
            import numpy as np
            import pandas as pd
            k = 4
            class Sales(pd.DataFrame):
                @property
                def _constructor(self): return Sales
                def total(self): return int(self['a'].sum()) * k
            df = Sales({'a': [1, 2, 3]})
            def step(x): return df.total(), type(df.head(1)).__name__
        """,
        """
            k = 40
            df.loc[0, 'a'] = 100
        """,
    ),
    case(
        "module-like-class-with-arrays",
        """
            import numpy as np
            import pandas as pd
            class Net:
                def __init__(self): self.w = np.full(200_000, 0.5); self.b = np.ones(3)
                def __call__(self, x): return float(self.w.sum()) + float(self.b[0]) * x
            net = Net()
            def step(x): return net(x), net.w.size
        """,
        """
            net.b[0] = 100
            ---
            net.w = np.zeros(1)
            ---
            Net.__call__ = lambda self, x: 'edited'
        """,
    ),
    case(
        "dict-freezes-small-and-shares-large",
        """
            import numpy as np
            import pandas as pd
            W = np.ones(100_000)
            P = {'W': W, 't': 0.5, 'l': [1, 2]}
            def step(x): return float(P['W'].sum()), P['t'], P['l'], P['W'] is W
        """,
        """
            P['t'] = 9
            P['l'].append(3)
            P['W'] = None
        """,
    ),
    case(
        "random-generator",
        """
            import numpy as np
            import pandas as pd
            g = np.random.default_rng(7)
            r = np.random.RandomState(7)
            def step(x):
                import copy
                return float(copy.deepcopy(g).random()), float(copy.deepcopy(r).rand())
        """,
        "g.random(5); r.rand(5)",
    ),
    case(
        "small-values",
        """
            import numpy as np
            import pandas as pd
            import datetime, decimal, pathlib, re, uuid, types, argparse, collections
            V = [datetime.date(2026, 1, 2), decimal.Decimal('1.5'), pathlib.Path('/a/b'), re.compile('a+'), uuid.UUID(int=1), np.float32(2), np.arange(3), slice(1, 2), range(3), b'x', 1j, None, ...]
            NS = types.SimpleNamespace(a=1); AN = argparse.Namespace(b=2); DQ = collections.deque([1], maxlen=3); OD = collections.OrderedDict(z=1); CN = collections.Counter('aab')
            def step(x): return [str(v) for v in V], V[3].match('aa').group(), NS, AN, DQ, OD, CN
        """,
        """
            V.clear(); NS.a = 5; AN.b = 6; DQ.append(4); OD['y'] = 2; CN['a'] = 99
        """,
    ),
    case(
        "locks",
        """
            import threading
            lock = threading.Lock(); rlock = threading.RLock(); k = 4
            def step(x):
                with lock, rlock: return k, lock.locked()
        """,
        "k = 40",
    ),
    case(
        "events-and-conditions",
        """
            import threading, queue
            event = threading.Event(); k = 4
            def step(x): return event.is_set(), k
        """,
        "k = 40",
    ),
    case(
        "large-plain-containers",
        """
            table = {i: str(i) for i in range(20_000)}
            rows = [{'a': i, 'b': [i]} for i in range(12_000)]
            big = 'x' * 100_000
            raw = b'y' * 100_000
            def step(x): return table[x], rows[x], len(big), len(raw), len(rows)
        """,
        "table = rows = big = raw = None",
    ),
    case(
        "object-array-of-instances",
        """
            import numpy as np
            import pandas as pd
            k = 4
            class A:
                def __init__(self, x): self.x = x
                def get(self): return self.x * k
            arr = np.array([A(1), A(2)], dtype=object)
            frame = pd.DataFrame({'o': [A(3)]})
            def step(x): return [a.get() for a in arr], frame.o[0].get()
        """,
        """
            k = 40
            arr[0].x = 50
        """,
    ),
    case(
        "library-sentinels",
        """
            import numpy as np
            import pandas as pd
            import dataclasses, inspect
            M = dataclasses.MISSING; E = inspect.Parameter.empty; NA = pd.NA; k = 4
            def step(x): return M is dataclasses.MISSING, E is inspect.Parameter.empty, NA is pd.NA, pd.NaT is pd.NaT, k
        """,
        "k = 40",
    ),
    case(
        "own-sentinel",
        """
            MISSING = object()
            k = 4
            def get(v=MISSING): return v is MISSING
            def step(x): return get(), get(x), k
        """,
        """
            k = 40
            MISSING = object()
        """,
    ),
]
