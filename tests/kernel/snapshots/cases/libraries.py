"""Models and frames of libraries. Those that are not installed here are skipped."""
# ruff: noqa: E501  (the lines are cells of a notebook)

from __future__ import annotations

from tests.kernel.snapshots.cases.case import case

CASES = [
    case(
        "sklearn-pipeline-of-pipelines",
        """
            import numpy as np, pandas as pd
            from sklearn.calibration import CalibratedClassifierCV
            from sklearn.compose import ColumnTransformer
            from sklearn.ensemble import HistGradientBoostingClassifier
            from sklearn.linear_model import LogisticRegression
            from sklearn.pipeline import Pipeline
            from sklearn.preprocessing import OneHotEncoder, StandardScaler
            df = pd.DataFrame({'n': np.arange(60.), 'c': list('abc') * 20}); y = (df.n > 30).astype(int)
            pre = ColumnTransformer([('n', StandardScaler(), ['n']), ('c', OneHotEncoder(), ['c'])])
            model = Pipeline([('pre', pre), ('m', CalibratedClassifierCV(LogisticRegression(), cv=2))]).fit(df, y)
            boosted = HistGradientBoostingClassifier(max_iter=5).fit(df[['n']].to_numpy(), y)
            def step(x): return model.predict_proba(df.head(x)).tolist(), boosted.predict_proba(df[['n']].to_numpy()[:x]).tolist()
        """,
        "_ = model.fit(df, 1 - y), boosted.fit(df[['n']].to_numpy(), 1 - y)",
    ),
    case(
        "sparse-matrix-and-interpolation",
        """
            import scipy.sparse, scipy.interpolate
            M = scipy.sparse.random(2000, 2000, density=0.01, random_state=0, format='csr')
            f = scipy.interpolate.interp1d([0., 1., 2., 3.], [0., 2., 4., 9.])
            def step(x): return float(M.sum()), float(f(x - .5))
        """,
        "M = f = None",
    ),
    case(
        "lightgbm",
        """
            import numpy as np, lightgbm
            X = np.random.default_rng(0).random((400, 4)); y = (X.sum(1) > 2).astype(int)
            model = lightgbm.LGBMClassifier(n_estimators=5, verbose=-1, n_jobs=1).fit(X, y)
            booster = model.booster_
            def step(x): return model.predict_proba(X[:2] / x).tolist(), booster.predict(X[:1]).tolist()
        """,
        "_ = model.fit(X, 1 - y); booster = None",
        needs="lightgbm",
    ),
    case(
        "lightgbm-trained-on",
        """
            import numpy as np, lightgbm
            X = np.random.default_rng(0).random((400, 4)); y = (X.sum(1) > 2).astype(int)
            data = lightgbm.Dataset(X, y, free_raw_data=False)
            booster = lightgbm.train({'verbose': -1, 'objective': 'binary', 'num_threads': 1}, data, 5, keep_training_booster=True)
            def step(x): return booster.predict(X[:2] / x).tolist()
        """,
        "_ = booster.update()",
        frozen=False,
        drifts=("booster",),
        needs="lightgbm",
    ),
    case(
        "polars-frame",
        """
            import polars as pl
            df = pl.DataFrame({'a': list(range(50_000)), 'b': ['x'] * 50_000})
            lazy = df.lazy().filter(pl.col('a') < 5)
            e = pl.col('a') * 2
            def step(x): return df['a'].sum(), df.filter(pl.col('a') == x).rows(), lazy.select(e).collect().rows(), df.columns
        """,
        """
            df[0, 'a'] = 77
            _ = df.insert_column(0, pl.lit(1).alias('z'))
        """,
        needs="polars",
    ),
    case(
        "polars-expression-with-a-function",
        """
            import polars as pl, warnings
            warnings.simplefilter('ignore')
            k = 4
            def helper(v): return v * k
            e = pl.col('a').map_elements(helper, return_dtype=pl.Int64)
            def step(x): return pl.DataFrame({'a': [x]}).select(e).rows()
        """,
        "k = 40",
        frozen=False,
        drifts=("e",),
        noted=("`e` (Expr) holds code of the notebook", "on_init"),
        needs="polars",
    ),
    case(
        "torch-module",
        """
            import torch
            _ = torch.manual_seed(0)
            k = 4.0
            class Net(torch.nn.Module):
                def __init__(self):
                    super().__init__()
                    self.l = torch.nn.Linear(200, 300); self.o = torch.nn.Linear(300, 2); self.register_buffer('b', torch.ones(2))
                def forward(self, x): return self.o(torch.relu(self.l(x))) * k + self.b
            net = Net().eval()
            def step(x):
                with torch.no_grad(): return net(torch.full((1, 200), float(x))).tolist()
        """,
        """
            k = 40.0
            ---
            Net.forward = lambda self, x: x
            ---
            net.o = None
        """,
        needs="torch",
    ),
    case(
        "torch-trained-on",
        """
            import torch
            net = torch.nn.Linear(300, 2).eval()
            def step(x):
                with torch.no_grad(): return net(torch.full((1, 300), float(x))).tolist()
        """,
        "with torch.no_grad(): _ = net.bias.fill_(7)",
        frozen=False,
        drifts=("net",),
        needs="torch",
    ),
]
