"""Which materializer a class has in this process."""

from __future__ import annotations

from warmcell.artifacts.materialized import Materialized, materializer_for
from warmcell.artifacts.registry import register, registered
from warmcell.materializers.base_materializer import BaseMaterializer

__all__ = ["MaterializerRegistry", "materializer_registry"]


class MaterializerRegistry:
    """The materializers of this process; there is one, :data:`materializer_registry`."""

    def register_and_overwrite_type(self, key: type, type_: type[BaseMaterializer]) -> None:
        """Have values of ``key`` and of its subclasses written by ``type_``, whatever wrote them
        before. Raises :class:`~warmcell.errors.DefinitionError`."""
        register(key, Materialized.of(type_))

    def register_materializer_type(self, key: type, type_: type[BaseMaterializer]) -> None:
        """The same, unless ``key`` has a materializer."""
        if not self.is_registered(key):
            self.register_and_overwrite_type(key, type_)

    def is_registered(self, key: type) -> bool:
        """Whether ``key``, or a class that it builds on, has one."""
        return isinstance(registered(key), Materialized)

    def __getitem__(self, key: type) -> type[BaseMaterializer]:
        """The materializer of ``key``. Raises :class:`KeyError` where there is none."""
        return materializer_for(registered(key), key)


materializer_registry = MaterializerRegistry()
