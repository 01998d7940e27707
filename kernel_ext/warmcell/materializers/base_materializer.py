"""BaseMaterializer: what a materializer of your own builds on."""

from __future__ import annotations

import contextlib
import pickle
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from warmcell.enums import ArtifactType, VisualizationType
from warmcell.io import fileio

__all__ = ["ArtifactStore", "BaseMaterializer"]

_FILE = "object.pkl"


class ArtifactStore:
    """The folder that a materializer works in: ``open(path, mode)``, ``exists``, ``listdir``…, as
    :mod:`warmcell.io.fileio` has them; ``path`` is where it is."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __getattr__(self, name: str) -> Any:
        if name in fileio.__all__:
            return getattr(fileio, name)
        raise AttributeError(f"The artifact store has no {name!r}.")

    def __repr__(self) -> str:
        return f"<artifact store {self.path}>"


class BaseMaterializer:
    """Writes and reads values of a class of your own.

    A subclass names its classes in ``ASSOCIATED_TYPES`` and is used for them from then on in this
    process; one without is for ``@step(output_materializers=...)``. It writes into the folder
    ``uri``, with :attr:`artifact_store` or as you like; without a ``save`` of its own the value is
    pickled. What it wrote is loaded only where this user has signed it, as a pickle is.
    """

    ASSOCIATED_TYPES: ClassVar[tuple[type, ...]] = ()
    ASSOCIATED_ARTIFACT_TYPE: ClassVar[ArtifactType] = ArtifactType.DATA
    SKIP_REGISTRATION: ClassVar[bool] = False

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        own = cls.__dict__
        if own.get("ASSOCIATED_TYPES") and not own.get("SKIP_REGISTRATION"):
            from warmcell.artifacts.materialized import Materialized
            from warmcell.artifacts.registry import register

            for kind in cls.ASSOCIATED_TYPES:
                register(kind, Materialized.of(cls))

    def __init__(self, uri: str, artifact_store: ArtifactStore | None = None) -> None:
        self.uri = uri
        self.artifact_store = artifact_store or ArtifactStore(uri)

    @property
    def artifact_path(self) -> Path:
        """:attr:`uri` as a path."""
        return Path(self.uri)

    def load(self, data_type: type[Any]) -> Any:
        """Read the value, an instance of ``data_type``."""
        with (self.artifact_path / _FILE).open("rb") as file:
            return pickle.load(file)  # noqa: S301 - signed by this user, see Materialized

    def save(self, data: Any) -> None:
        """Write the value."""
        import cloudpickle

        (self.artifact_path / _FILE).write_bytes(cloudpickle.dumps(data))

    def save_visualizations(self, data: Any) -> Mapping[str, VisualizationType]:
        """Write files that show the value; what each of them is, by its path below ``uri``."""
        return {}

    def extract_metadata(self, data: Any) -> Mapping[str, Any]:
        """What to know about the value without loading it, by name."""
        return {}

    @contextlib.contextmanager
    def get_temporary_directory(self, **options: Any) -> Iterator[str]:
        """A folder for as long as a ``with`` lasts."""
        with tempfile.TemporaryDirectory(prefix="warmcell-") as folder:
            yield folder
