"""Installed and local modules."""
# ruff: noqa: E501  (the lines are cells of a notebook)

from __future__ import annotations

from tests.kernel.snapshots.cases.case import case

CASES = [
    case(
        "module-alias",
        """
            import math as m, os.path, xml.etree.ElementTree as ET, concurrent.futures
            k = 4
            def step(x): return m.floor(x + .5), os.path.basename('a/b'), ET.fromstring('<a/>').tag, concurrent.futures.Future.__name__, k
        """,
        """
            import statistics as m
            k = 40
        """,
    ),
    case(
        "star-import",
        """
            from math import *
            k = 4
            def step(x): return floor(sqrt(x * 3)), pi > 3, k
        """,
        "def floor(x): return 'edited'",
    ),
    case(
        "local-module",
        """
            %load_ext autoreload
            %autoreload 2
            import wc_mod_a as a
            def step(x): return a.scale(x), a.K
        """,
        "a.scale(1)",
        files={
            "wc_mod_a.py": """
                K = 4
                def scale(x): return x * K
            """,
        },
        edited_files={
            "wc_mod_a.py": """
                K = 40
                def scale(x): return 'edited'
            """,
        },
    ),
    case(
        "local-module-attribute-set",
        """
            import wc_mod_b as b
            def step(x): return b.scale(x)
        """,
        "b.K = 40",
        files={
            "wc_mod_b.py": """
                K = 4
                def scale(x): return x * K
            """,
        },
    ),
    case(
        "local-from-import",
        """
            %load_ext autoreload
            %autoreload 2
            from wc_mod_c import scale, Scaler
            S = Scaler(2)
            def step(x): return scale(x), S.get(x), Scaler(3).get(x)
        """,
        "scale(1)",
        files={
            "wc_mod_c.py": """
                K = 4
                def scale(x): return x * K
                class Scaler:
                    def __init__(self, f): self.f = f
                    def get(self, x): return self.f * x * K
            """,
        },
        edited_files={
            "wc_mod_c.py": """
                K = 40
                def scale(x): return 'edited'
                class Scaler:
                    def __init__(self, f): self.f = f
                    def get(self, x): return 'edited'
            """,
        },
    ),
    case(
        "import-inside-function",
        """
            import importlib, sys
            def step(x):
                import wc_mod_d
                from wc_mod_d import K
                return wc_mod_d.scale(x), K
        """,
        "importlib.reload(sys.modules['wc_mod_d'])",
        files={
            "wc_mod_d.py": """
                K = 4
                def scale(x): return x * K
            """,
        },
        edited_files={
            "wc_mod_d.py": """
                K = 400
                def scale(x): return 'edited'
            """,
        },
    ),
    case(
        "import-inside-function-never-run-before",
        """
            def step(x):
                import wc_mod_e
                return wc_mod_e.K if x else None
        """,
        """
            import sys
            sys.modules['wc_mod_e'].K = 40
        """,
        files={
            "wc_mod_e.py": "K = 4",
        },
        capture_first=True,
    ),
    case(
        "package-with-relative-imports",
        """
            import importlib, sys
            from wc_pkg.api import run
            import wc_pkg.deep.leaf
            def step(x): return run(x), wc_pkg.deep.leaf.LEAF, wc_pkg.NAME
        """,
        """
            for n in ['wc_pkg.deep.leaf', 'wc_pkg.deep', 'wc_pkg.util', 'wc_pkg']: importlib.reload(sys.modules[n])
        """,
        files={
            "wc_pkg/__init__.py": "NAME = 'pkg'",
            "wc_pkg/util.py": """
                K = 4
                def times(x): return x * K
            """,
            "wc_pkg/api.py": """
                from . import util
                from .deep.leaf import leaf
                def run(x):
                    from .util import times
                    from .deep import leaf as module
                    return times(x), util.K, leaf(), module.LEAF
            """,
            "wc_pkg/deep/__init__.py": "",
            "wc_pkg/deep/leaf.py": """
                from ..util import K
                LEAF = 'leaf'
                def leaf():
                    from .. import util
                    return util.K + K
            """,
        },
        edited_files={
            "wc_pkg/__init__.py": "NAME = 'edited-pkg'",
            "wc_pkg/util.py": """
                K = 4000
                def times(x): return 'edited'
            """,
            "wc_pkg/deep/leaf.py": """
                K = LEAF = 'edited-leaf'
                def leaf(): return 1
            """,
        },
    ),
    case(
        "hand-made-module",
        """
            import types
            mod = types.ModuleType('wc_hand')
            mod.K = 4
            exec('def f(x): return x * K', mod.__dict__)
            def step(x): return mod.f(x), mod.K
        """,
        "mod.K = 40",
    ),
]
