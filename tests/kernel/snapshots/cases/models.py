"""pydantic and msgspec."""
# ruff: noqa: E501  (the lines are cells of a notebook)

from __future__ import annotations

from tests.kernel.snapshots.cases.case import case

CASES = [
    case(
        "pydantic-validators",
        """
            import typing, pydantic
            k = 4
            class M(pydantic.BaseModel):
                x: int = pydantic.Field(gt=0)
                tags: list[str] = []
                @pydantic.field_validator('x')
                @classmethod
                def check(cls, v): return v + k
                @pydantic.model_validator(mode='after')
                def after(self):
                    self.tags.append(str(k))
                    return self
            m = M(x=1)
            def step(x):
                try:
                    M(x=0)
                except pydantic.ValidationError as e:
                    return M(x=x), m, e.error_count(), M.model_json_schema()['required'], M.model_validate_json('{"x": 2}')
        """,
        """
            k = 40
            m.x = 9
        """,
    ),
    case(
        "pydantic-union",
        """
            import typing, pydantic
            k = 4
            class Cat(pydantic.BaseModel):
                kind: typing.Literal['cat']
                lives: int = 9
            class Dog(pydantic.BaseModel):
                kind: typing.Literal['dog']
                def bark(self): return k
            class Owner(pydantic.BaseModel):
                pet: typing.Union[Cat, Dog] = pydantic.Field(discriminator='kind')
            def step(x): return Owner(pet={'kind': 'dog'}).pet.bark(), Owner.model_validate({'pet': {'kind': 'cat'}}), isinstance(Owner(pet={'kind': 'cat'}).pet, Cat)
        """,
        """
            k = 40
            ---
            class Dog(pydantic.BaseModel): pass
        """,
    ),
    case(
        "pydantic-computed",
        """
            import typing, pydantic
            k = 4
            class M(pydantic.BaseModel):
                x: int
                @pydantic.computed_field
                @property
                def double(self) -> int: return self.x * k
                @pydantic.field_serializer('x')
                def show(self, v): return f'{v}/{k}'
            def step(x): return M(x=x).model_dump(), M(x=x).model_dump_json()
        """,
        "k = 40",
    ),
    case(
        "pydantic-private",
        """
            import typing, pydantic
            k = 4
            class M(pydantic.BaseModel):
                x: int
                _p: int = pydantic.PrivateAttr(default_factory=lambda: k)
                def get(self): return self.x + self._p
            m = M(x=1)
            def step(x): return M(x=x).get(), m.get()
        """,
        """
            k = 40
            m._p = 70
        """,
    ),
    case(
        "pydantic-generic",
        """
            import typing, pydantic
            k = 4
            T = typing.TypeVar('T')
            class Box(pydantic.BaseModel, typing.Generic[T]):
                v: T
                def get(self): return (self.v, k)
            class Item(pydantic.BaseModel):
                n: int
            box = Box[Item](v={'n': 1})
            def step(x): return Box[int](v=x).get(), box, isinstance(Box[Item](v={'n': 2}).v, Item), isinstance(box.v, Item)
        """,
        """
            k = 40
            ---
            class Item(pydantic.BaseModel): pass
        """,
    ),
    case(
        "pydantic-type-adapter",
        """
            import typing, pydantic
            k = 4
            class M(pydantic.BaseModel):
                x: int
                @pydantic.field_validator('x')
                def add(cls, v): return v + k
            adapter = pydantic.TypeAdapter(list[M])
            def step(x): return adapter.validate_python([{'x': x}])
        """,
        "k = 40",
    ),
    case(
        "pydantic-dataclass",
        """
            import typing, pydantic
            k = 4
            @pydantic.dataclasses.dataclass
            class P:
                x: int
                @pydantic.field_validator('x')
                def add(cls, v): return v + k
            import pydantic.dataclasses
            def step(x): return P(str(x))
        """,
        "k = 40",
    ),
    case(
        "pydantic-nested-and-string-annotations",
        """
            from __future__ import annotations
            import pydantic
            k = 4
            class Node(pydantic.BaseModel):
                v: int
                children: list[Node] = []
                def total(self): return self.v * k + sum(c.total() for c in self.children)
            def step(x: Node):
                n = Node.model_validate({'v': x, 'children': [{'v': 1}]})
                return n.total(), isinstance(n.children[0], Node), 'children' in Node.model_json_schema()['$defs']['Node']['properties']
        """,
        """
            k = 40
            ---
            class Node: pass
        """,
    ),
    case(
        "pydantic-fresh-adapter-on-rebuilt-class",
        """
            import typing, pydantic
            k = 4
            import dataclasses
            @dataclasses.dataclass
            class Out:
                x: int
            def step(x): return pydantic.TypeAdapter(list[Out]).validate_python([{'x': x}]), k
        """,
        """
            k = 40
            ---
            class Out: pass
        """,
    ),
    case(
        "msgspec-struct",
        """
            import msgspec
            k = 4
            class S(msgspec.Struct, tag='s', rename='camel', omit_defaults=True):
                first_name: str
                n: int = 2
                l: list[int] = []
                def get(self): return self.n * k
            s = S('a')
            def step(x): return msgspec.json.encode(S('b', n=x)), msgspec.json.decode(b'{"type":"s","firstName":"c"}', type=S), s.get(), s == S('a')
        """,
        """
            k = 40
            s.n = 9
        """,
    ),
    case(
        "msgspec-post-init-and-self-reference",
        """
            import msgspec, typing
            k = 4
            class Node(msgspec.Struct, frozen=True):
                v: int
                next: 'Node | None' = None
                def __post_init__(self):
                    if self.v < 0: raise ValueError(f'negative {k}')
            def step(x):
                n = msgspec.json.decode(b'{"v":1,"next":{"v":2}}', type=Node)
                try:
                    Node(-x)
                except ValueError as e:
                    return n, isinstance(n.next, Node), str(e)
        """,
        "k = 40",
    ),
    case(
        "msgspec-keyword-only-inheritance",
        """
            import msgspec
            k = 4
            class A(msgspec.Struct, kw_only=True):
                a: int = 1
            class B(A):
                b: int
            def step(x): return msgspec.json.encode(B(x, a=k)), B.__struct_fields__
        """,
        "k = 40",
    ),
]
