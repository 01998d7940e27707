"""Classes of every sort, and their instances."""
# ruff: noqa: E501  (the lines are cells of a notebook)

from __future__ import annotations

from tests.kernel.snapshots.cases.case import case

CASES = [
    case(
        "methods-read-globals",
        """
            k = 4
            class A:
                def get(self, x): return x * k
            def step(x): return A().get(x)
        """,
        """
            k = 40
            ---
            A.get = lambda self, x: 'edited'
        """,
    ),
    case(
        "class-and-static-methods",
        """
            k = 4
            class A:
                base = 1
                @classmethod
                def make(cls, x): return cls.base + x * k
                @staticmethod
                def plain(x): return x - k
            def step(x): return A.make(x), A.plain(x)
        """,
        """
            k = 40
            A.base = 1000
        """,
    ),
    case(
        "property",
        """
            k = 4
            class A:
                @property
                def v(self): return k * self._v
                @v.setter
                def v(self, x): self._v = x
            def step(x):
                a = A()
                a.v = x
                return a.v
        """,
        """
            k = 40
            A.v = 0
        """,
    ),
    case(
        "descriptor",
        """
            k = 4
            class D:
                def __set_name__(self, owner, name): self.name = name
                def __get__(self, obj, owner): return (self.name, k)
            class A:
                field = D()
            def step(x): return A().field
        """,
        "k = 40",
    ),
    case(
        "super",
        """
            k = 4
            class A:
                def __init__(self, x): self.x = x
                def get(self): return self.x * k
            ---
            class B(A):
                def __init__(self, x):
                    super().__init__(x + 1)
                def get(self): return super().get() + 1
            b = B(1)
            def step(x): return B(x).get(), b.get(), isinstance(b, A)
        """,
        """
            k = 40
            ---
            class A:
                def get(self): return 'edited'
        """,
    ),
    case(
        "slots",
        """
            k = 4
            class A:
                __slots__ = ('x', '__hidden')
                def __init__(self, x):
                    self.x = x
                    self.__hidden = k
                def get(self): return self.x, self.__hidden, k
            a = A(7)
            def step(x):
                try:
                    a.other = 1
                except AttributeError:
                    return a.get(), A(x).get()
        """,
        """
            k = 40
            a.x = 0
        """,
    ),
    case(
        "abstract-base",
        """
            import abc
            k = 4
            class Base(abc.ABC):
                @abc.abstractmethod
                def get(self): ...
            class A(Base):
                def get(self): return k
            @Base.register
            class Virtual: pass
            def step(x):
                try:
                    Base()
                except TypeError:
                    return A().get(), isinstance(Virtual(), Base), isinstance(x, Base)
        """,
        "k = 40",
    ),
    case(
        "protocol",
        """
            import typing
            k = 4
            @typing.runtime_checkable
            class Has(typing.Protocol):
                def get(self) -> int: ...
            class A:
                def get(self): return k
            def step(x): return isinstance(A(), Has), isinstance(x, Has), A().get()
        """,
        "k = 40",
    ),
    case(
        "generic",
        """
            import typing
            k = 4
            T = typing.TypeVar('T')
            class Box(typing.Generic[T]):
                def __init__(self, v: T): self.v = v
                def get(self) -> T: return (self.v, k)
            class IntBox(Box[int]): pass
            def step(x): return Box[int](x).get(), IntBox(x).get(), typing.get_args(IntBox.__orig_bases__[0])
        """,
        "k = 40",
    ),
    case(
        "metaclass-hooks-do-not-run-again",
        """
            k = 4
            SEEN = []
            class Meta(type):
                def __new__(m, name, bases, ns):
                    SEEN.append(name)
                    return super().__new__(m, name, bases, ns)
                def total(cls): return (cls.__name__, k)
            class A(metaclass=Meta): pass
            def step(x): return A.total(), SEEN
        """,
        """
            k = 40
            Meta.total = lambda cls: 'edited'
        """,
    ),
    case(
        "init-subclass-registry",
        """
            k = 4
            class Base:
                registry = {}
                def __init_subclass__(cls, *, key, **kw):
                    super().__init_subclass__(**kw)
                    if key in Base.registry: raise ValueError(key)
                    Base.registry[key] = cls
            class A(Base, key='a'):
                def get(self): return k
            def step(x):
                class Late(Base, key=f'late{len(Base.registry)}'): pass
                return sorted(Base.registry)[:1], Base.registry['a'] is A, A().get()
        """,
        """
            k = 40
            Base.registry.clear()
        """,
    ),
    case(
        "monkeypatched-later",
        """
            class A:
                def get(self): return 1
            ---
            A.get = lambda self: 2
            a = A()
            def step(x): return a.get()
        """,
        """
            A.get = lambda self: 3
            ---
            a.get = lambda: 4
        """,
    ),
    case(
        "stale-instance-of-older-class",
        """
            class A:
                def get(self): return 'old'
            old = A()
            ---
            class A:
                def get(self): return 'new'
            def step(x): return old.get(), A().get(), isinstance(old, A)
        """,
        """
            class A:
                def get(self): return 'edited'
            ---
            type(old).get = lambda self: 'edited'
        """,
    ),
    case(
        "dataclass",
        """
            import dataclasses
            k = 4
            @dataclasses.dataclass(order=True)
            class P:
                a: int
                b: list = dataclasses.field(default_factory=lambda: [k])
                c: int = 5
                def total(self): return self.a + sum(self.b) + k
            p = P(1)
            def step(x):
                f = dataclasses.fields(P)
                return P(x), P(x).total(), p == P(1), f[0].default is dataclasses.MISSING, dataclasses.replace(p, a=x), dataclasses.asdict(p)
        """,
        """
            k = 40
            p.b.append(7)
        """,
    ),
    case(
        "dataclass-frozen-slots",
        """
            import dataclasses
            k = 4
            @dataclasses.dataclass(frozen=True, slots=True)
            class P:
                a: int = 1
                def total(self): return self.a + k
            p = P(2)
            def step(x):
                try:
                    p.a = 3
                except dataclasses.FrozenInstanceError:
                    return p, p.total(), hash(p) == hash(P(2)), P(x)
        """,
        "k = 40",
    ),
    case(
        "namedtuples",
        """
            import typing, collections
            k = 4
            class N(typing.NamedTuple):
                a: int
                b: int = 2
                def total(self): return self.a + self.b + k
            C = collections.namedtuple('C', 'x y', defaults=[9])
            n = N(1)
            def step(x): return N(x), n.total(), n._replace(a=5), C(x), C(1, 2)._asdict(), N._fields
        """,
        "k = 40",
    ),
    case(
        "typed-dict",
        """
            import typing
            k = 4
            class D(typing.TypedDict, total=False):
                a: int
            class E(D):
                b: str
            def step(x): return D(a=x), E(a=1, b='s'), E.__required_keys__, D.__total__, k
        """,
        "k = 40",
    ),
    case(
        "enum-aliases-and-attributes",
        """
            import enum
            k = 4
            class Planet(enum.Enum):
                EARTH = (5.9, 6.3)
                TERRA = (5.9, 6.3)
                MARS = (0.6, 3.3)
                def __init__(self, mass, radius):
                    self.mass = mass
                    self.radius = radius
                @property
                def weight(self): return self.mass * k
            def step(x): return Planet.EARTH.weight, Planet.TERRA is Planet.EARTH, list(Planet.__members__), Planet.MARS.radius, Planet((0.6, 3.3)), Planet['TERRA']
        """,
        "k = 40",
    ),
    case(
        "enum-with-new-and-data-type",
        """
            import enum
            class Coord(bytes, enum.Enum):
                def __new__(cls, value, label):
                    obj = bytes.__new__(cls, [value])
                    obj._value_ = value
                    obj.label = label
                    return obj
                X = (1, 'x axis')
                Y = (2, 'y axis')
            k = 4
            def step(x): return Coord.X[0], Coord(2).label, Coord.Y.name, k
        """,
        "k = 40",
    ),
    case(
        "int-flag",
        """
            import enum
            k = 4
            class Perm(enum.IntFlag):
                R = 4
                W = 2
                RW = 6
                def show(self): return (self.name, k)
            def step(x): return Perm.R | Perm.W, Perm.RW.show(), Perm(x), Perm.R in Perm.RW, int(~Perm.R)
        """,
        "k = 40",
    ),
    case(
        "str-enum",
        """
            import enum
            k = 4
            class Color(enum.StrEnum):
                RED = enum.auto()
                BLUE = 'b'
            c = Color.BLUE
            def step(x): return Color('red'), f'{c}', c is Color.BLUE, [m.value for m in Color], k
        """,
        "k = 40",
    ),
    case(
        "cached-property",
        """
            import functools
            k = 4
            class A:
                @functools.cached_property
                def v(self): return k * 2
            def step(x): return A().v
        """,
        "k = 40",
    ),
    case(
        "naive-getattr",
        """
            k = 4
            class Proxy:
                def __init__(self, inner): self.inner = inner
                def __getattr__(self, name): return getattr(self.inner, name)
            p = Proxy([k])
            def step(x): return p.count(4), p.inner
        """,
        "p.inner.append(4)",
    ),
    case(
        "singleton-by-new",
        """
            class S:
                one = None
                def __new__(cls):
                    if cls.one is None:
                        cls.one = super().__new__(cls)
                        cls.one.k = 4
                    return cls.one
            s = S()
            def step(x): return s.k, S() is s
        """,
        "s.k = 40",
    ),
    case(
        "setattr-guard",
        """
            class Locked:
                def __init__(self): self.__dict__['k'] = 4
                def __setattr__(self, n, v): raise TypeError('locked')
            l = Locked()
            def step(x): return l.k
        """,
        "l.__dict__['k'] = 40",
    ),
    case(
        "dict-and-list-subclasses",
        """
            k = 4
            class D(dict):
                def __init__(self, must): super().__init__(a=must)
                def __setitem__(self, key, v): super().__setitem__(key, (v, self.tag))
                def get2(self): return self['a'], k
            class L(list):
                def total(self): return sum(self) + k
            d = D(1)
            d.tag = 't'
            d['b'] = 2
            l = L([1, 2])
            l.note = 'n'
            def step(x): return dict(d), d.get2(), d.tag, l.total(), l.note, type(l).__name__
        """,
        """
            k = 40
            d['a'] = 3
            l.append(50)
        """,
    ),
    case(
        "custom-reduce",
        """
            k = 4
            class R:
                def __init__(self, x): self.x = x
                def __reduce__(self): return (R, (self.x,))
                def get(self): return self.x + k
            r = R(1)
            def step(x): return r.get()
        """,
        """
            k = 40
            r.x = 9
        """,
    ),
    case(
        "getstate-drops",
        """
            k = 4
            class G:
                def __init__(self): self.keep, self.drop = 1, 2
                def __getstate__(self): return {'keep': self.keep}
                def get(self): return self.keep, k
            g = G()
            def step(x): return g.get()
        """,
        """
            k = 40
            g.keep = 9
        """,
    ),
    case(
        "setstate",
        """
            k = 4
            class G:
                def __init__(self): self.v = 1
                def __getstate__(self): return (self.v, 'x')
                def __setstate__(self, s): self.v, self.tag = s
                def get(self): return self.v, k
            g = G()
            def step(x): return g.get()
        """,
        """
            k = 40
            g.v = 9
        """,
    ),
    case(
        "exception-class",
        """
            k = 4
            class Bad(ValueError):
                def __init__(self, x): super().__init__(f'bad {x} {k}')
            def step(x):
                try:
                    raise Bad(x)
                except Bad as error:
                    return str(error), isinstance(error, ValueError)
        """,
        "k = 40",
    ),
    case(
        "instances-in-containers",
        """
            k = 4
            class A:
                def __init__(self, x): self.x = x
                def get(self): return self.x * k
            items = [A(1), {'a': A(2)}, (A(3),), {'s': [A(4)]}]
            both = items[0]
            def step(x): return items[0].get(), items[1]['a'].get(), items[2][0].get(), items[3]['s'][0].get(), both is items[0]
        """,
        """
            k = 40
            items[0].x = 100
            items.clear()
        """,
    ),
    case(
        "cyclic-instances",
        """
            class Node:
                def __init__(self): self.next = self
                def __hash__(self): return 1
            n = Node()
            m = Node()
            n.next, m.next = m, n
            n.v = 4
            def step(x): return n.next.next is n, m.next.v
        """,
        "n.v = 40",
    ),
]
