"""ZenML's words of a command line beside ours: ``artifact version update``, ``model runs``, …

What its pages show for a shell does the same here with the command's name changed.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from warmcell.cli.parser import _Menu

__all__ = ["artifacts", "models", "tags"]

LINKED = {
    "artifacts": "all artifacts",
    "data_artifacts": "data artifacts",
    "model_artifacts": "model artifacts",
    "deployment_artifacts": "deployment artifacts",
    "runs": "runs",
}
"""What belongs to a version of a model, by the word that lists it."""


def artifacts(menu: _Menu) -> None:
    """Add them to the menu of artifacts."""
    update = menu.add("update", "artifacts", "update", "change the tags of an artifact")
    update.add_argument("name", metavar="NAME", help="name of the artifact")
    _tagging(update)
    for word in ("version", "versions"):
        below = menu.menu(word, "versions of artifacts")
        listing = below.add("list", "artifacts", "versions", "versions, the newest first")
        listing.add_argument("name", nargs="?", metavar="NAME", help="only of this artifact")
        listing.add_argument("--name", "--artifact", dest="named", metavar="NAME",
                             help=argparse.SUPPRESS)  # fmt: skip
        listing.add_argument("-t", "--tag", metavar="TAG", help="only versions that have it")
        listing.add_argument("--limit", type=int, default=20, metavar="N", help="how many (20)")
        describe = below.add("describe", "artifacts", "show_named", "all about one version")
        update = below.add("update", "artifacts", "update_version", "change the tags of a version")
        for made in (describe, update):
            made.add_argument("name", metavar="NAME", help="of the artifact, or id of the version")
            _version(made)
        _tagging(update)


def models(menu: _Menu) -> None:
    """Add them to the menu of models."""
    update = menu.add("update", "models", "update", "change what a model says of itself, its tags")
    update.add_argument("name", metavar="MODEL", help="name of the model")
    about(update)
    _tagging(update)
    for word, what in LINKED.items():
        made = menu.add(word, "models", "linked", f"{what} of the newest version, or of one")
        made.add_argument("name", metavar="MODEL", help="name of the model")
        _version(made)
        made.set_defaults(what=word)
    below = menu.menu("version", "versions of models")
    listing = below.add("list", "models", "listed", "versions of a model, the newest first")
    listing.add_argument("name", nargs="?", metavar="MODEL", help="name of the model")
    listing.add_argument("-n", "--model", "--model-name", dest="named", metavar="MODEL",
                         help=argparse.SUPPRESS)  # fmt: skip
    listing.add_argument("--stage", metavar="STAGE", help="only versions that are there")
    listing.add_argument("-t", "--tag", metavar="TAG", help="only versions that have it")
    update = below.add("update", "models", "update_version", "change stage, description, tags")
    update.add_argument("name", metavar="MODEL", help="name of the model")
    update.add_argument("-s", "--stage", metavar="STAGE",
                        help="staging, production, archived or none")  # fmt: skip
    update.add_argument("-f", "--force", action="store_true",
                        help="archive the version that is there")  # fmt: skip
    update.add_argument("-d", "--description", metavar="TEXT")
    _version(update)
    _tagging(update)
    delete = below.add("delete", "models", "delete_version", "delete a version")
    delete.add_argument("name", metavar="MODEL", help="of the model, or id of the version")
    delete.add_argument("-y", "--yes", action="store_true", help=argparse.SUPPRESS)
    _version(delete)
    words = {**LINKED, "endpoint_artifacts": LINKED["deployment_artifacts"]}  # an old name of it
    for word, what in {**words, "links": "all that belongs to it"}.items():
        made = below.add(word, "models", "linked", f"{what} of a version")
        made.add_argument("name", metavar="MODEL", help="name of the model")
        _version(made)
        made.set_defaults(what=word)


def tags(menu: _Menu) -> None:
    """Add them to the menu of tags."""
    register = menu.add("register", "tags", "create", "define a tag, as create does")
    register.add_argument("-n", "--name", dest="tag", required=True, metavar="TAG")
    register.add_argument("-c", "--color", metavar="COLOR", help="such as blue")
    register.set_defaults(exclusive=False)


def about(made: argparse.ArgumentParser) -> None:
    """Add options for what a model says of itself."""
    made.add_argument("-d", "--description", metavar="TEXT")
    made.add_argument("-l", "--license", metavar="TEXT")
    made.add_argument("-a", "--audience", metavar="TEXT")
    made.add_argument("-u", "--use-cases", metavar="TEXT")
    made.add_argument("-e", "--ethical", dest="ethics", metavar="TEXT")
    made.add_argument("--trade-offs", metavar="TEXT")
    made.add_argument("--limitations", metavar="TEXT")


def _version(made: argparse.ArgumentParser) -> None:
    made.add_argument("number", nargs="?", metavar="VERSION", help="label, number; the newest one")
    made.add_argument("-v", "--version", dest="version", metavar="VERSION", help="the same")


def _tagging(made: argparse.ArgumentParser) -> None:
    made.add_argument("-t", "--tag", action="append", default=[], metavar="TAG",
                      help="put it on; may be repeated")  # fmt: skip
    made.add_argument("-r", "--remove-tag", action="append", default=[], metavar="TAG",
                      help="take it away; may be repeated")  # fmt: skip
