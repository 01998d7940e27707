"""Installed and local modules."""

from __future__ import annotations

from tests.kernel.snapshots.cases.case import case

_RELOAD = "%load_ext autoreload\n%autoreload 2\n"

CASES = [
    case(
        "module-alias",
        "import math as m, os.path, xml.etree.ElementTree as ET, concurrent.futures\nk = 4\n"
        "def step(x): return m.floor(x + .5), os.path.basename('a/b'), ET.fromstring('<a/>').tag, concurrent.futures.Future.__name__, k",
        "import statistics as m\nk = 40",
    ),
    case(
        "star-import",
        "from math import *\nk = 4\ndef step(x): return floor(sqrt(x * 3)), pi > 3, k",
        "def floor(x): return 'edited'",
    ),
    case(
        "local-module",
        _RELOAD + "import wc_mod_a as a\ndef step(x): return a.scale(x), a.K",
        "a.scale(1)",
        files={"wc_mod_a.py": "K = 4\ndef scale(x): return x * K\n"},
        edited_files={"wc_mod_a.py": "K = 40\ndef scale(x): return 'edited'\n"},
    ),
    case(
        "local-module-attribute-set",
        "import wc_mod_b as b\ndef step(x): return b.scale(x)",
        "b.K = 40",
        files={"wc_mod_b.py": "K = 4\ndef scale(x): return x * K\n"},
    ),
    case(
        "local-from-import",
        _RELOAD
        + "from wc_mod_c import scale, Scaler\nS = Scaler(2)\ndef step(x): return scale(x), S.get(x), Scaler(3).get(x)",
        "scale(1)",
        files={
            "wc_mod_c.py": "K = 4\ndef scale(x): return x * K\nclass Scaler:\n    def __init__(self, f): self.f = f\n    def get(self, x): return self.f * x * K\n"
        },
        edited_files={
            "wc_mod_c.py": "K = 40\ndef scale(x): return 'edited'\nclass Scaler:\n    def __init__(self, f): self.f = f\n    def get(self, x): return 'edited'\n"
        },
    ),
    case(
        "import-inside-function",
        "import importlib, sys\ndef step(x):\n    import wc_mod_d\n    from wc_mod_d import K\n    return wc_mod_d.scale(x), K",
        "importlib.reload(sys.modules['wc_mod_d'])",
        files={"wc_mod_d.py": "K = 4\ndef scale(x): return x * K\n"},
        edited_files={"wc_mod_d.py": "K = 400\ndef scale(x): return 'edited'\n"},
    ),
    case(
        "import-inside-function-never-run-before",
        "def step(x):\n    import wc_mod_e\n    return wc_mod_e.K if x else None",
        "import sys\nsys.modules['wc_mod_e'].K = 40",
        call="step(3)",
        files={"wc_mod_e.py": "K = 4\n"},
        capture_first=True,
    ),
    case(
        "package-with-relative-imports",
        "import importlib, sys\nfrom wc_pkg.api import run\nimport wc_pkg.deep.leaf\n"
        "def step(x): return run(x), wc_pkg.deep.leaf.LEAF, wc_pkg.NAME",
        "for n in ['wc_pkg.deep.leaf', 'wc_pkg.deep', 'wc_pkg.util', 'wc_pkg']: importlib.reload(sys.modules[n])",
        files={
            "wc_pkg/__init__.py": "NAME = 'pkg'\n",
            "wc_pkg/util.py": "K = 4\ndef times(x): return x * K\n",
            "wc_pkg/api.py": "from . import util\nfrom .deep.leaf import leaf\ndef run(x):\n    from .util import times\n    from .deep import leaf as module\n    return times(x), util.K, leaf(), module.LEAF\n",
            "wc_pkg/deep/__init__.py": "",
            "wc_pkg/deep/leaf.py": "from ..util import K\nLEAF = 'leaf'\ndef leaf():\n    from .. import util\n    return util.K + K\n",
        },
        edited_files={
            "wc_pkg/__init__.py": "NAME = 'edited-pkg'\n",
            "wc_pkg/util.py": "K = 4000\ndef times(x): return 'edited'\n",
            "wc_pkg/deep/leaf.py": "K = LEAF = 'edited-leaf'\ndef leaf(): return 1\n",
        },
    ),
    case(
        "hand-made-module",
        "import types\nmod = types.ModuleType('wc_hand')\nmod.K = 4\nexec('def f(x): return x * K', mod.__dict__)\ndef step(x): return mod.f(x), mod.K",
        "mod.K = 40",
    ),
]
