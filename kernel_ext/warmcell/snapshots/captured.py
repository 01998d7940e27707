"""The public face of a snapshot that was taken in this process."""

from __future__ import annotations

import linecache
import sys
import types
from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal

import msgspec

from warmcell.artifacts import origins
from warmcell.errors import SnapshotError
from warmcell.snapshots import modulefiles, secrecy, stored
from warmcell.snapshots.capturing import Written, take
from warmcell.snapshots.fingerprints import Fingerprint, Hasher, fingerprint
from warmcell.snapshots.holdings import Holding, holdings, names
from warmcell.snapshots.kinds import is_iterator
from warmcell.snapshots.loader import Loader
from warmcell.snapshots.notes import leaks, notes_of
from warmcell.snapshots.paths import Place, place_of
from warmcell.snapshots.restorability import unrestorable
from warmcell.snapshots.stored import StoredForm
from warmcell.snapshots.survey import Survey

TRIAL = 64 << 20  # bytes of pickles up to which a stored form is loaded once for a trial


class Held(msgspec.Struct, omit_defaults=True):
    """One object of the notebook that a snapshot uses beside its code.

    ``path`` says how it is reached (``con <- lookup <- answer``); ``by`` whether a later change of
    the notebook's object is seen ("reference") or not ("copy"); ``size`` is in bytes;
    ``fingerprint`` is None for what can be told apart only by identity.
    """

    name: str
    path: str
    by: Literal["copy", "reference"]
    type: str
    size: int
    restorable: bool = True
    fingerprint: str | None = None


def _note_versions(survey: Survey, found: list[Holding]) -> None:
    """Say of what is held which artifact version it is, or has within."""
    by_name = {holding.name: holding for holding in found}
    for key, version in origins.among(survey.objects).items():
        place = place_of(survey, key)
        holding = by_name.get(place.name) or by_name.get(place.variable)
        if holding is None:
            kind = type(survey.objects[key]).__name__
            holding = Holding(place.name or kind, place.path, "reference", kind, 0)
            found.append(holding)
        holding.version = f"{holding.version} {version}" if holding.version else version


class Capture:
    """A snapshot in this process.

    ``live`` are the rebuilt roots; ``digest`` is the same whenever the same thing is captured;
    ``held`` lists what is held as a whole, ``holdings`` every name, code included; ``names`` are
    those of the notebook, imports too, and ``files`` the texts of what its code was defined in;
    ``notes`` are plain sentences for the user; ``restorable`` says whether :meth:`store` can write
    a form that another process loads.
    """

    def __init__(self, written: Written) -> None:
        self._stream = written.stream
        self._references = written.references
        self.files = {n: "".join(linecache.getlines(n)) for n in written.files}
        self.live = written.live
        survey = written.survey
        self._prints = [fingerprint(r) for r in written.references]
        self._owners: list[int | None] = []
        self.held: list[Held] = []
        refusals = self._list_held(written)
        self._stale = modulefiles.stale(survey)
        self.holdings = self._list_names(written)
        self.names = names(survey)
        self.notes = notes_of(survey, written.held)
        self.notes += [n for n in refusals if n]
        self.notes += self._hidden_code(written)
        self.notes += modulefiles.about(self._stale)
        self.notes += secrecy.about(survey, self.files, written.stream)
        leaking = leaks(self.live, survey, self._references)
        self.notes += leaking
        self.restorable = not refusals and not leaking
        self.digest = self._identity(survey.extra)

    def _list_held(self, written: Written) -> list[str]:
        """Fill ``held``, one entry per variable; return notes on what cannot be stored."""
        survey, refusals = written.survey, []
        index: dict[tuple[str, int], int] = {}
        pairs = zip(written.originals, written.references, self._prints, strict=True)
        for original, reference, found in pairs:
            place = place_of(survey, id(original))
            reason = unrestorable(original, survey, written.held)
            if reason is not None:
                refusals.append(_refusal(place, original, id(original) in written.held))
            owner = original if reason is not None else survey.objects.get(place.owner, original)
            if reason is None and place.variable.startswith("__"):
                self._owners.append(None)  # what a class made for itself is no news to its author
                continue
            key = (place.name if reason is not None else place.variable, id(owner))
            if key not in index:
                index[key] = len(self.held)
                copied = reference is not original
                self.held.append(
                    Held(
                        key[0] or type(owner).__name__,
                        _path(place, key[0]),
                        "copy" if copied else "reference",
                        type(owner).__name__,
                        0,
                        restorable=reason is None,
                    )
                )
            self._owners.append(index[key])
            entry = self.held[index[key]]
            entry.size += found.size or sys.getsizeof(original)
            if found.exact:
                entry.fingerprint = _join(entry.fingerprint, found.digest)
        self._variables = {owner: self.held[n] for (_, owner), n in index.items()}
        return refusals

    def _list_names(self, written: Written) -> list[Holding]:
        """Every name that the code uses, each with a hash of its own."""
        prints = {
            id(original): found
            for original, found in zip(written.originals, self._prints, strict=True)
        }
        found = holdings(written.survey, prints, self._variables, self._stale)
        _note_versions(written.survey, found)
        return found

    def _hidden_code(self, written: Written) -> list[str]:
        """Notes on objects that hold code of the notebook where no walk finds it, but their own
        pickle does."""
        found: dict[str, None] = {}
        for original, print_ in zip(written.originals, self._prints, strict=True):
            if print_.hides_code and id(original) not in written.held:
                place = place_of(written.survey, id(original))
                found[
                    f"`{place.name or 'An object'}` ({type(original).__name__}) holds code of the "
                    "notebook within itself: that code stays live. Make it in `on_init`. "
                    f"({place.path})"
                ] = None
        return list(found)

    def _identity(self, extra: dict[str, Any]) -> str:
        known = {id(r): f.digest for r, f in zip(self._references, self._prints, strict=True)}
        hasher = Hasher(known)
        hasher.add([stored.python_version(), self.live, extra])
        return hasher.hexdigest()

    def again(self) -> dict[str, Any]:
        """Rebuild the roots once more, apart from ``live`` but for what is held by reference."""
        roots: dict[str, Any] = Loader(self._stream, self._references).load()
        return roots

    def drift(self) -> list[Held]:
        """The entries of ``held`` that are shared with the notebook and have changed in place
        since the capture. Costs about 50 ms per GB."""
        changed: set[int] = set()
        triples = zip(self._owners, self._references, self._prints, strict=True)
        for owner, reference, before in triples:
            if owner is None or owner in changed or self.held[owner].by == "copy":
                continue
            if before.exact and _now(reference) != before:
                changed.add(owner)
        return [self.held[n] for n in sorted(changed)]

    def store(self, blobs: Path) -> StoredForm:
        """Write the stored form into the folder of blobs; meant for a background thread.

        It is loaded once for a trial. What cannot be stored or loaded, or changed since the
        capture, is the ``status`` of the answer. Raises :class:`SnapshotError` where the disk or
        the key file refuses.
        """
        if not self.restorable:
            names = ", ".join(f"`{h.name}`" for h in self.held if not h.restorable)
            reason = f"{names or 'code that stays live'} cannot be stored"
            return StoredForm(f"refused: {reason}", digest=self.digest)
        try:
            form = stored.write(self._stream, self._references, self.files, self.digest, blobs)
        except SnapshotError:
            raise
        except Exception as error:  # the objects' own code pickles them
            return self._refused(f"{type(error).__name__}: {error}")
        changed = self.drift()
        if changed:
            names = ", ".join(f"`{h.name}`" for h in changed)
            form.status = f"changed before stored: {names}"
        elif form.references is not None and form.references.size <= TRIAL:
            try:
                stored.rehearse(form, blobs)
            except (SnapshotError, OSError) as error:
                return self._refused(str(error))
        return form

    def _refused(self, reason: str) -> StoredForm:
        """A form that says which names cannot be stored, and what they were refused with."""
        names: dict[str, None] = {}
        for owner, reference in zip(self._owners, self._references, strict=True):
            if owner is not None and not stored.survives(reference):
                names[f"`{self.held[owner].name}`"] = None
        culprits = f"{', '.join(names)} cannot be stored: " if names else ""
        hint = ". Make it in `on_init`" if names else ""
        return StoredForm(f"refused: {culprits}{reason.rstrip('.')}{hint}", digest=self.digest)


def _now(reference: object) -> Fingerprint | None:
    try:
        return fingerprint(reference)
    except RuntimeError:  # another thread changed it while it was read
        return None


def _join(before: str | None, digest: str) -> str:
    if before is None:
        return digest
    hasher = Hasher()
    hasher.add([before, digest])
    return hasher.hexdigest()


def _path(place: Place, name: str) -> str:
    return " <- ".join([name, *place.path.split(" <- ")[1:]]) if place.path else name


def _refusal(place: Place, target: object, code_stays: bool) -> str:
    if code_stays:
        return ""  # the notes on code say it
    user = f", used by `{place.user}`," if place.user else ""
    kind = type(target).__name__
    name = f"`{place.name or kind}`{user}"
    if isinstance(target, types.CoroutineType | types.GeneratorType | types.AsyncGeneratorType):
        where = f"inside `{place.user}`" if place.user else "inside the step"
        return (
            f"{name} is a {kind.replace('_', ' ')}: it runs once, in one call at a time, for the "
            "notebook and all calls together. It cannot be stored, so this snapshot ends with the "
            f"kernel. Make it {where}, or in `on_init`. ({place.path})"
        )
    if is_iterator(type(target)):
        return (
            f"{name} is an iterator ({kind}): what one call takes from it no other gets. It cannot "
            "be stored, so this snapshot ends with the kernel. Use a list, or make it in "
            f"`on_init`. ({place.path})"
        )
    return (
        f"{name} is a {kind}: it is shared with the notebook, what is registered with it too, and "
        "cannot be stored, so this snapshot ends with the kernel. "
        f"Make it in `on_init`. ({place.path})"
    )


def capture(
    roots: dict[str, object],
    *,
    namespace: dict[str, Any] | None = None,
    copy: Collection[str] = (),
    extra: Collection[str] = (),
) -> Capture:
    """Take a snapshot of ``roots``.

    ``namespace`` is the notebook's; by default that of ``__main__``. ``copy`` names variables whose
    large values are copied instead of shared; ``extra`` names variables to include that no code
    names (found by ``eval`` or ``globals()``). Raises :class:`warmcell.errors.SnapshotError`.
    """
    return Capture(take(roots, namespace=namespace, copy=copy, extra=extra))
