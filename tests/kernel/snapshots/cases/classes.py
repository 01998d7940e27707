"""Classes of every sort, and their instances."""

from __future__ import annotations

from tests.kernel.snapshots.cases.case import case

CASES = [
    case(
        "methods-read-globals",
        "k = 4\nclass A:\n    def get(self, x): return x * k\ndef step(x): return A().get(x)",
        "k = 40\n---\nA.get = lambda self, x: 'edited'",
    ),
    case(
        "class-and-static-methods",
        "k = 4\nclass A:\n    base = 1\n    @classmethod\n    def make(cls, x): return cls.base + x * k\n"
        "    @staticmethod\n    def plain(x): return x - k\ndef step(x): return A.make(x), A.plain(x)",
        "k = 40\nA.base = 1000",
    ),
    case(
        "property",
        "k = 4\nclass A:\n    @property\n    def v(self): return k * self._v\n    @v.setter\n"
        "    def v(self, x): self._v = x\ndef step(x):\n    a = A()\n    a.v = x\n    return a.v",
        "k = 40\nA.v = 0",
    ),
    case(
        "descriptor",
        "k = 4\nclass D:\n    def __set_name__(self, owner, name): self.name = name\n"
        "    def __get__(self, obj, owner): return (self.name, k)\nclass A:\n    field = D()\n"
        "def step(x): return A().field",
        "k = 40",
    ),
    case(
        "super",
        "k = 4\nclass A:\n    def __init__(self, x): self.x = x\n    def get(self): return self.x * k\n---\n"
        "class B(A):\n    def __init__(self, x):\n        super().__init__(x + 1)\n    def get(self): return super().get() + 1\n"
        "b = B(1)\ndef step(x): return B(x).get(), b.get(), isinstance(b, A)",
        "k = 40\n---\nclass A:\n    def get(self): return 'edited'",
    ),
    case(
        "slots",
        "k = 4\nclass A:\n    __slots__ = ('x', '__hidden')\n    def __init__(self, x):\n        self.x = x\n        self.__hidden = k\n"
        "    def get(self): return self.x, self.__hidden, k\na = A(7)\n"
        "def step(x):\n    try:\n        a.other = 1\n    except AttributeError:\n        return a.get(), A(x).get()",
        "k = 40\na.x = 0",
    ),
    case(
        "abstract-base",
        "import abc\nk = 4\nclass Base(abc.ABC):\n    @abc.abstractmethod\n    def get(self): ...\n"
        "class A(Base):\n    def get(self): return k\n@Base.register\nclass Virtual: pass\n"
        "def step(x):\n    try:\n        Base()\n    except TypeError:\n        return A().get(), isinstance(Virtual(), Base), isinstance(x, Base)",
        "k = 40",
    ),
    case(
        "protocol",
        "import typing\nk = 4\n@typing.runtime_checkable\nclass Has(typing.Protocol):\n    def get(self) -> int: ...\n"
        "class A:\n    def get(self): return k\ndef step(x): return isinstance(A(), Has), isinstance(x, Has), A().get()",
        "k = 40",
    ),
    case(
        "generic",
        "import typing\nk = 4\nT = typing.TypeVar('T')\nclass Box(typing.Generic[T]):\n    def __init__(self, v: T): self.v = v\n"
        "    def get(self) -> T: return (self.v, k)\nclass IntBox(Box[int]): pass\n"
        "def step(x): return Box[int](x).get(), IntBox(x).get(), typing.get_args(IntBox.__orig_bases__[0])",
        "k = 40",
    ),
    case(
        "metaclass-hooks-do-not-run-again",
        "k = 4\nSEEN = []\nclass Meta(type):\n    def __new__(m, name, bases, ns):\n        SEEN.append(name)\n"
        "        return super().__new__(m, name, bases, ns)\n    def total(cls): return (cls.__name__, k)\n"
        "class A(metaclass=Meta): pass\ndef step(x): return A.total(), SEEN",
        "k = 40\nMeta.total = lambda cls: 'edited'",
    ),
    case(
        "init-subclass-registry",
        "k = 4\nclass Base:\n    registry = {}\n    def __init_subclass__(cls, *, key, **kw):\n"
        "        super().__init_subclass__(**kw)\n        if key in Base.registry: raise ValueError(key)\n"
        "        Base.registry[key] = cls\nclass A(Base, key='a'):\n    def get(self): return k\n"
        "def step(x):\n    class Late(Base, key=f'late{len(Base.registry)}'): pass\n"
        "    return sorted(Base.registry)[:1], Base.registry['a'] is A, A().get()",
        "k = 40\nBase.registry.clear()",
    ),
    case(
        "monkeypatched-later",
        "class A:\n    def get(self): return 1\n---\nA.get = lambda self: 2\na = A()\ndef step(x): return a.get()",
        "A.get = lambda self: 3\n---\na.get = lambda: 4",
    ),
    case(
        "stale-instance-of-older-class",
        "class A:\n    def get(self): return 'old'\nold = A()\n---\nclass A:\n    def get(self): return 'new'\n"
        "def step(x): return old.get(), A().get(), isinstance(old, A)",
        "class A:\n    def get(self): return 'edited'\n---\ntype(old).get = lambda self: 'edited'",
    ),
    case(
        "dataclass",
        "import dataclasses\nk = 4\n@dataclasses.dataclass(order=True)\nclass P:\n    a: int\n    b: list = dataclasses.field(default_factory=lambda: [k])\n"
        "    c: int = 5\n    def total(self): return self.a + sum(self.b) + k\np = P(1)\n"
        "def step(x):\n    f = dataclasses.fields(P)\n    return P(x), P(x).total(), p == P(1), f[0].default is dataclasses.MISSING, dataclasses.replace(p, a=x), dataclasses.asdict(p)",
        "k = 40\np.b.append(7)",
    ),
    case(
        "dataclass-frozen-slots",
        "import dataclasses\nk = 4\n@dataclasses.dataclass(frozen=True, slots=True)\nclass P:\n    a: int = 1\n"
        "    def total(self): return self.a + k\np = P(2)\n"
        "def step(x):\n    try:\n        p.a = 3\n    except dataclasses.FrozenInstanceError:\n        return p, p.total(), hash(p) == hash(P(2)), P(x)",
        "k = 40",
    ),
    case(
        "namedtuples",
        "import typing, collections\nk = 4\nclass N(typing.NamedTuple):\n    a: int\n    b: int = 2\n    def total(self): return self.a + self.b + k\n"
        "C = collections.namedtuple('C', 'x y', defaults=[9])\nn = N(1)\n"
        "def step(x): return N(x), n.total(), n._replace(a=5), C(x), C(1, 2)._asdict(), N._fields",
        "k = 40",
    ),
    case(
        "typed-dict",
        "import typing\nk = 4\nclass D(typing.TypedDict, total=False):\n    a: int\nclass E(D):\n    b: str\n"
        "def step(x): return D(a=x), E(a=1, b='s'), E.__required_keys__, D.__total__, k",
        "k = 40",
    ),
    case(
        "enum-aliases-and-attributes",
        "import enum\nk = 4\nclass Planet(enum.Enum):\n    EARTH = (5.9, 6.3)\n    TERRA = (5.9, 6.3)\n    MARS = (0.6, 3.3)\n"
        "    def __init__(self, mass, radius):\n        self.mass = mass\n        self.radius = radius\n"
        "    @property\n    def weight(self): return self.mass * k\n"
        "def step(x): return Planet.EARTH.weight, Planet.TERRA is Planet.EARTH, list(Planet.__members__), Planet.MARS.radius, Planet((0.6, 3.3)), Planet['TERRA']",
        "k = 40",
    ),
    case(
        "enum-with-new-and-data-type",
        "import enum\nclass Coord(bytes, enum.Enum):\n    def __new__(cls, value, label):\n        obj = bytes.__new__(cls, [value])\n"
        "        obj._value_ = value\n        obj.label = label\n        return obj\n    X = (1, 'x axis')\n    Y = (2, 'y axis')\n"
        "k = 4\ndef step(x): return Coord.X[0], Coord(2).label, Coord.Y.name, k",
        "k = 40",
    ),
    case(
        "int-flag",
        "import enum\nk = 4\nclass Perm(enum.IntFlag):\n    R = 4\n    W = 2\n    RW = 6\n    def show(self): return (self.name, k)\n"
        "def step(x): return Perm.R | Perm.W, Perm.RW.show(), Perm(x), Perm.R in Perm.RW, int(~Perm.R)",
        "k = 40",
    ),
    case(
        "str-enum",
        "import enum\nk = 4\nclass Color(enum.StrEnum):\n    RED = enum.auto()\n    BLUE = 'b'\n"
        "c = Color.BLUE\ndef step(x): return Color('red'), f'{c}', c is Color.BLUE, [m.value for m in Color], k",
        "k = 40",
    ),
    case(
        "cached-property",
        "import functools\nk = 4\nclass A:\n    @functools.cached_property\n    def v(self): return k * 2\ndef step(x): return A().v",
        "k = 40",
    ),
    case(
        "naive-getattr",
        "k = 4\nclass Proxy:\n    def __init__(self, inner): self.inner = inner\n    def __getattr__(self, name): return getattr(self.inner, name)\n"
        "p = Proxy([k])\ndef step(x): return p.count(4), p.inner",
        "p.inner.append(4)",
    ),
    case(
        "singleton-by-new",
        "class S:\n    one = None\n    def __new__(cls):\n        if cls.one is None:\n            cls.one = super().__new__(cls)\n            cls.one.k = 4\n        return cls.one\n"
        "s = S()\ndef step(x): return s.k, S() is s",
        "s.k = 40",
    ),
    case(
        "setattr-guard",
        "class Locked:\n    def __init__(self): self.__dict__['k'] = 4\n    def __setattr__(self, n, v): raise TypeError('locked')\n"
        "l = Locked()\ndef step(x): return l.k",
        "l.__dict__['k'] = 40",
    ),
    case(
        "dict-and-list-subclasses",
        "k = 4\nclass D(dict):\n    def __init__(self, must): super().__init__(a=must)\n    def __setitem__(self, key, v): super().__setitem__(key, (v, self.tag))\n    def get2(self): return self['a'], k\n"
        "class L(list):\n    def total(self): return sum(self) + k\nd = D(1)\nd.tag = 't'\nd['b'] = 2\nl = L([1, 2])\nl.note = 'n'\n"
        "def step(x): return dict(d), d.get2(), d.tag, l.total(), l.note, type(l).__name__",
        "k = 40\nd['a'] = 3\nl.append(50)",
    ),
    case(
        "custom-reduce",
        "k = 4\nclass R:\n    def __init__(self, x): self.x = x\n    def __reduce__(self): return (R, (self.x,))\n    def get(self): return self.x + k\n"
        "r = R(1)\ndef step(x): return r.get()",
        "k = 40\nr.x = 9",
    ),
    case(
        "getstate-drops",
        "k = 4\nclass G:\n    def __init__(self): self.keep, self.drop = 1, 2\n    def __getstate__(self): return {'keep': self.keep}\n"
        "    def get(self): return self.keep, k\ng = G()\ndef step(x): return g.get()",
        "k = 40\ng.keep = 9",
    ),
    case(
        "setstate",
        "k = 4\nclass G:\n    def __init__(self): self.v = 1\n    def __getstate__(self): return (self.v, 'x')\n"
        "    def __setstate__(self, s): self.v, self.tag = s\n    def get(self): return self.v, k\n"
        "g = G()\ndef step(x): return g.get()",
        "k = 40\ng.v = 9",
    ),
    case(
        "exception-class",
        "k = 4\nclass Bad(ValueError):\n    def __init__(self, x): super().__init__(f'bad {x} {k}')\n"
        "def step(x):\n    try:\n        raise Bad(x)\n    except Bad as error:\n        return str(error), isinstance(error, ValueError)",
        "k = 40",
    ),
    case(
        "instances-in-containers",
        "k = 4\nclass A:\n    def __init__(self, x): self.x = x\n    def get(self): return self.x * k\n"
        "items = [A(1), {'a': A(2)}, (A(3),), {'s': [A(4)]}]\nboth = items[0]\n"
        "def step(x): return items[0].get(), items[1]['a'].get(), items[2][0].get(), items[3]['s'][0].get(), both is items[0]",
        "k = 40\nitems[0].x = 100\nitems.clear()",
    ),
    case(
        "cyclic-instances",
        "class Node:\n    def __init__(self): self.next = self\n    def __hash__(self): return 1\n"
        "n = Node()\nm = Node()\nn.next, m.next = m, n\nn.v = 4\ndef step(x): return n.next.next is n, m.next.v",
        "n.v = 40",
    ),
]
