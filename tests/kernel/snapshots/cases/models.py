"""pydantic and msgspec."""

from __future__ import annotations

from tests.kernel.snapshots.cases.case import case

_P = "import typing, pydantic\nk = 4\n"

CASES = [
    case(
        "pydantic-validators",
        _P
        + "class M(pydantic.BaseModel):\n    x: int = pydantic.Field(gt=0)\n    tags: list[str] = []\n"
        "    @pydantic.field_validator('x')\n    @classmethod\n    def check(cls, v): return v + k\n"
        "    @pydantic.model_validator(mode='after')\n    def after(self):\n        self.tags.append(str(k))\n        return self\n"
        "m = M(x=1)\n"
        "def step(x):\n    try:\n        M(x=0)\n    except pydantic.ValidationError as e:\n        return M(x=x), m, e.error_count(), M.model_json_schema()['required'], M.model_validate_json('{\"x\": 2}')",
        "k = 40\nm.x = 9",
    ),
    case(
        "pydantic-union",
        _P + "class Cat(pydantic.BaseModel):\n    kind: typing.Literal['cat']\n    lives: int = 9\n"
        "class Dog(pydantic.BaseModel):\n    kind: typing.Literal['dog']\n    def bark(self): return k\n"
        "class Owner(pydantic.BaseModel):\n    pet: typing.Union[Cat, Dog] = pydantic.Field(discriminator='kind')\n"
        "def step(x): return Owner(pet={'kind': 'dog'}).pet.bark(), Owner.model_validate({'pet': {'kind': 'cat'}}), isinstance(Owner(pet={'kind': 'cat'}).pet, Cat)",
        "k = 40\n---\nclass Dog(pydantic.BaseModel): pass",
    ),
    case(
        "pydantic-computed",
        _P
        + "class M(pydantic.BaseModel):\n    x: int\n    @pydantic.computed_field\n    @property\n    def double(self) -> int: return self.x * k\n"
        "    @pydantic.field_serializer('x')\n    def show(self, v): return f'{v}/{k}'\n"
        "def step(x): return M(x=x).model_dump(), M(x=x).model_dump_json()",
        "k = 40",
    ),
    case(
        "pydantic-private",
        _P
        + "class M(pydantic.BaseModel):\n    x: int\n    _p: int = pydantic.PrivateAttr(default_factory=lambda: k)\n"
        "    def get(self): return self.x + self._p\nm = M(x=1)\ndef step(x): return M(x=x).get(), m.get()",
        "k = 40\nm._p = 70",
    ),
    case(
        "pydantic-generic",
        _P
        + "T = typing.TypeVar('T')\nclass Box(pydantic.BaseModel, typing.Generic[T]):\n    v: T\n    def get(self): return (self.v, k)\n"
        "class Item(pydantic.BaseModel):\n    n: int\nbox = Box[Item](v={'n': 1})\n"
        "def step(x): return Box[int](v=x).get(), box, isinstance(Box[Item](v={'n': 2}).v, Item), isinstance(box.v, Item)",
        "k = 40\n---\nclass Item(pydantic.BaseModel): pass",
    ),
    case(
        "pydantic-type-adapter",
        _P
        + "class M(pydantic.BaseModel):\n    x: int\n    @pydantic.field_validator('x')\n    def add(cls, v): return v + k\n"
        "adapter = pydantic.TypeAdapter(list[M])\ndef step(x): return adapter.validate_python([{'x': x}])",
        "k = 40",
    ),
    case(
        "pydantic-dataclass",
        _P
        + "@pydantic.dataclasses.dataclass\nclass P:\n    x: int\n    @pydantic.field_validator('x')\n    def add(cls, v): return v + k\n"
        "import pydantic.dataclasses\ndef step(x): return P(str(x))",
        "k = 40",
    ),
    case(
        "pydantic-nested-and-string-annotations",
        "from __future__ import annotations\nimport pydantic\nk = 4\nclass Node(pydantic.BaseModel):\n    v: int\n    children: list[Node] = []\n"
        "    def total(self): return self.v * k + sum(c.total() for c in self.children)\n"
        "def step(x: Node):\n    n = Node.model_validate({'v': x, 'children': [{'v': 1}]})\n    return n.total(), isinstance(n.children[0], Node), 'children' in Node.model_json_schema()['$defs']['Node']['properties']",
        "k = 40\n---\nclass Node: pass",
    ),
    case(
        "pydantic-fresh-adapter-on-rebuilt-class",
        _P + "import dataclasses\n@dataclasses.dataclass\nclass Out:\n    x: int\n"
        "def step(x): return pydantic.TypeAdapter(list[Out]).validate_python([{'x': x}]), k",
        "k = 40\n---\nclass Out: pass",
    ),
    case(
        "msgspec-struct",
        "import msgspec\nk = 4\nclass S(msgspec.Struct, tag='s', rename='camel', omit_defaults=True):\n    first_name: str\n    n: int = 2\n    l: list[int] = []\n"
        "    def get(self): return self.n * k\ns = S('a')\n"
        'def step(x): return msgspec.json.encode(S(\'b\', n=x)), msgspec.json.decode(b\'{"type":"s","firstName":"c"}\', type=S), s.get(), s == S(\'a\')',
        "k = 40\ns.n = 9",
    ),
    case(
        "msgspec-post-init-and-self-reference",
        "import msgspec, typing\nk = 4\nclass Node(msgspec.Struct, frozen=True):\n    v: int\n    next: 'Node | None' = None\n"
        "    def __post_init__(self):\n        if self.v < 0: raise ValueError(f'negative {k}')\n"
        'def step(x):\n    n = msgspec.json.decode(b\'{"v":1,"next":{"v":2}}\', type=Node)\n    try:\n        Node(-x)\n    except ValueError as e:\n        return n, isinstance(n.next, Node), str(e)',
        "k = 40",
    ),
    case(
        "msgspec-keyword-only-inheritance",
        "import msgspec\nk = 4\nclass A(msgspec.Struct, kw_only=True):\n    a: int = 1\nclass B(A):\n    b: int\n"
        "def step(x): return msgspec.json.encode(B(x, a=k)), B.__struct_fields__",
        "k = 40",
    ),
]
