"""The words of a command line: which there are, and what they mean."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any

from warmcell import __version__
from warmcell.cli import words as zenml
from warmcell.cli.ends import EXPLAINED
from warmcell.errors import UsageError

__all__ = ["parse"]

Command = Callable[[argparse.Namespace], int | None]

_PARAMETERS = (
    "Parameters of the pipeline stand behind as --city=London; behind a lone -- also those that "
    "are called like an option."
)


def parse(words: Sequence[str]) -> argparse.Namespace:
    """Read a command line. ``command`` of the result is to be called with it; ``words`` are those
    that were left, for commands that take parameters.

    Ends the process for ``--help`` and for wrong usage, as argparse does.
    """
    parser = _parser()
    before, after = list(words), []
    if "--" in before:
        at = before.index("--")
        before, after = before[:at], before[at + 1 :]
    given, left = parser.parse_known_args(before)
    if not hasattr(given, "command"):
        parser.parse_args([*before, "--help"])
    given.words = [*left, *after]
    if given.words and not given.takes_words:
        raise UsageError(
            f"{given.prog} does not take '{given.words[0]}'.", hint=f"See {given.prog} --help."
        )
    return given


class _Menu:
    """A word with words below it."""

    def __init__(self, parser: argparse.ArgumentParser, common: argparse.ArgumentParser) -> None:
        self._common = common
        self._menu = parser.add_subparsers(metavar="COMMAND", required=False)

    def menu(self, name: str, help: str) -> _Menu:
        made = self._menu.add_parser(name, help=help, description=help, allow_abbrev=False)
        return _Menu(made, self._common)

    def add(
        self, name: str, module: str, function: str, help: str, *, words: str = ""
    ) -> argparse.ArgumentParser:
        """A command: ``function`` of ``warmcell.cli.module``, loaded when it is called."""
        made: argparse.ArgumentParser = self._menu.add_parser(
            name,
            parents=[self._common],
            help=help,
            description=help,
            epilog=words or None,
            allow_abbrev=False,
        )
        made.set_defaults(
            command=_loaded(module, function), takes_words=bool(words), prog=made.prog
        )
        return made


def _loaded(module: str, function: str) -> Command:
    def command(given: argparse.Namespace) -> int | None:
        from importlib import import_module

        found: Command = getattr(import_module(f"warmcell.cli.{module}"), function)
        return found(given)

    return command


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="warmcell",
        description="Pipelines made of notebook cells, served by the kernel that holds them.",
        epilog=EXPLAINED,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"warmcell {__version__}")
    common = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    where = common.add_argument_group("which server (found by itself if none is named)")
    where.add_argument("--url", help="address of the server or deployment (WARMCELL_URL)")
    where.add_argument("--token", help="token of the server (WARMCELL_TOKEN)")
    where.add_argument("--key", help="API key of the deployment (WARMCELL_KEY)")
    common.add_argument("--json", action="store_true", help="print JSON")
    top = _Menu(parser, common)
    _pipelines(top.menu("pipeline", "deploy and run pipelines of modules and notebooks"))
    deployments = top.menu("deployment", "call, list and manage deployments")
    _deployments(deployments)
    for menu in (top, deployments):
        _keys(menu.menu("keys", "API keys of a deployment"))
    _runs(top.menu("runs", "the history of runs"))
    for name in ("artifacts", "artifact"):
        _artifacts(top.menu(name, "what steps gave and is kept"))
    _snapshots(top.menu("snapshots", "what was deployed, by whom, and as a notebook again"))
    for name in ("models", "model"):
        _models(top.menu(name, "models, their versions and stages"))
    for name in ("tags", "tag"):
        _tags(top.menu(name, "tags: what they are, what has them"))
    _logs(top)
    _store(top.menu("store", "how much the history takes, prune, export, import"))
    _secrets(top.menu("secrets", "named secrets of this user, for get_secret() in steps"))
    _trust(top)
    _servers(top)
    return parser


def _pipelines(menu: _Menu) -> None:
    target = (
        "module.pipeline, file.py::pipeline or notebook.ipynb::pipeline, looked for in this folder"
    )
    deploy = menu.add("deploy", "pipelines", "deploy", "serve a pipeline from a kernel of its own")
    run = menu.add("run", "pipelines", "run", "run a pipeline once, tracked", words=_PARAMETERS)
    for made in (deploy, run):
        made.add_argument("target", metavar="PIPELINE", help=target)
        made.add_argument("--kernel", metavar="NAME", help="kernelspec to use")
        made.add_argument("--timeout", type=_seconds, default=600.0, metavar="S",
                          help="seconds that it may take (600)")  # fmt: skip
    deploy.add_argument("--name", help="name in the URL; the pipeline's own by default")
    deploy.add_argument("--set", action="append", default=[], metavar="SETTING=VALUE",
                        help="a setting of the deployment, such as concurrency=4")  # fmt: skip
    deploy.add_argument("--note", metavar="TEXT", help="what to remember of this snapshot")
    deploy.add_argument("--gate", action="append", default=[], metavar="BOUND=VALUE",
                        help="bounds on what recorded calls may change")  # fmt: skip
    deploy.add_argument("--overtake", "--overwrite", action="store_true",
                        help="take the name over from a notebook that serves it")  # fmt: skip
    run.add_argument("--name", help="name of the run")
    _given(run)


def _deployments(menu: _Menu) -> None:
    invoke = menu.add("invoke", "deployments", "invoke", "call a deployment", words=_PARAMETERS)
    invoke.add_argument("name", nargs="?", metavar="NAME",
                        help="may be left out where --url names it")  # fmt: skip
    how = invoke.add_mutually_exclusive_group()
    how.add_argument("--no-wait", action="store_true", help="only start the run; prints its id")
    how.add_argument("--stream", action="store_true", help="show what happens while it happens")
    invoke.add_argument("--timeout", type=_seconds, metavar="S", help="seconds that it may take")
    invoke.add_argument("--run-name", metavar="TEXT", help="name of the run")
    invoke.add_argument("--idempotency-key", metavar="TEXT",
                        help="calls with the same one make one run")  # fmt: skip
    invoke.add_argument("--callback-url", metavar="URL", help="told when the run has ended")
    _given(invoke)
    listing = menu.add("list", "deployments", "listing", "what is deployed")
    listing.add_argument("--pipeline", metavar="NAME", help="only deployments of this pipeline")
    describe = _named(menu.add("describe", "deployments", "describe", "all about one deployment"))
    describe.add_argument("--schema", action="store_true", help="print the parameters' schema")
    logs = _named(menu.add("logs", "deployments", "logs", "what its runs wrote"))
    logs.add_argument("-f", "--follow", action="store_true", help="go on as runs end")
    logs.add_argument("-t", "--tail", type=int, metavar="N", help="only the last N lines")
    delete = _named(menu.add("delete", "deployments", "delete", "stop serving; its runs stay"))
    delete.add_argument("-y", "--yes", action="store_true", help=argparse.SUPPRESS)  # ZenML's
    rollback = _named(
        menu.add("rollback", "deployments", "rollback", "serve an earlier snapshot again")
    )
    rollback.add_argument("--to", type=int, metavar="N", help="number of the snapshot")
    _releases(menu)

    diff = _named(
        menu.add("diff", "snapshots", "diff", "what changed since, or between two snapshots")
    )
    diff.add_argument("before", nargs="?", type=int, metavar="N", help="the served one by default")
    diff.add_argument("after", nargs="?", type=int, metavar="M",
                      help="its notebook as it is now by default")  # fmt: skip
    _named(menu.add("drift", "snapshots", "drift", "which names changed in the notebook since"))
    _named(menu.add("history", "snapshots", "history", "who deployed, took over, rolled back"))


def _releases(menu: _Menu) -> None:
    _named(menu.add("traffic", "releases", "traffic", "how calls are shared among snapshots"))
    split = _named(menu.add("split", "releases", "split", "share the calls among snapshots"))
    split.add_argument("shares", nargs="+", metavar="N=SHARE", help="such as 3=0.9 4=0.1")
    split.add_argument("--by", metavar="PATH",
                       help="parameter that keeps a caller with one snapshot")  # fmt: skip
    split.add_argument("--max-error-rate", type=float, metavar="SHARE",
                       help="abort once more of the newest calls fail, such as 0.05")  # fmt: skip
    split.add_argument("--max-p95", type=_seconds, metavar="S",
                       help="abort once the p95 is above so many seconds")  # fmt: skip
    split.add_argument("--min-runs", type=int, metavar="N",
                       help="calls before anything is aborted (20)")  # fmt: skip
    shadow = _named(menu.add("shadow", "releases", "shadow",
                             "have a snapshot execute calls too, unseen"))  # fmt: skip
    shadow.add_argument("snapshot", type=int, metavar="N", help="number of the snapshot")
    shadow.add_argument("--fraction", type=float, default=1.0, metavar="SHARE",
                        help="share of the calls (1.0); 0 ends it")  # fmt: skip
    promote = _named(menu.add("promote", "releases", "promote", "have a newcomer answer all calls"))
    promote.add_argument("snapshot", nargs="?", type=int, metavar="N",
                         help="the only newcomer by default")  # fmt: skip
    _named(menu.add("abort", "releases", "abort", "have the served snapshot answer all calls"))


def _snapshots(menu: _Menu) -> None:
    listing = menu.add("list", "snapshots", "listing", "snapshots, the newest first")
    listing.add_argument("--pipeline", metavar="NAME", help="only snapshots of this pipeline")
    opened = menu.add("open", "snapshots", "opened", "write a snapshot as a notebook")
    opened.add_argument("snapshot", metavar="NAME@N", help="such as churn@3")
    opened.add_argument("file", nargs="?", metavar="FILE", help="NAME@N.ipynb by default")
    opened.add_argument("--overwrite", action="store_true", help="replace the file if it exists")


def _models(menu: _Menu) -> None:
    register = menu.add("register", "models", "register", "make a model")
    listing = menu.add("list", "models", "listing", "models by name")
    versions = menu.add("versions", "models", "versions", "versions of a model, the newest first")
    stage = menu.add("stage", "models", "stage", "bring a version to a stage")
    history = menu.add("history", "models", "history", "who moved which stage or alias when")
    back = menu.add("back", "models", "back", "undo the last move of a stage or alias")
    delete = menu.add("delete", "models", "delete", "delete a model, or one version of it")
    compare = menu.add("compare", "models", "compare", "metadata of versions side by side")
    for made in (versions, stage, history, back, delete, compare):
        made.add_argument("name", metavar="MODEL", help="name of the model")
    register.add_argument("name", nargs="?", metavar="MODEL", help="name of the model")
    register.add_argument("-n", "--name", dest="named", metavar="MODEL", help="the same")
    compare.add_argument("compared", nargs="+", metavar="VERSION", help="2 or more")
    zenml.about(register)
    register.add_argument("-t", "--tag", action="append", metavar="TAG", help="may be repeated")
    listing.add_argument("-t", "--tag", metavar="TAG", help="only models that have it")
    versions.add_argument("--stage", metavar="STAGE", help="only versions that are there")
    stage.add_argument("version", metavar="VERSION", help="number, label, stage or alias")
    stage.add_argument("stage", metavar="STAGE", help="staging, production, archived or none")
    stage.add_argument("--force", action="store_true", help="archive the version that is there")
    history.add_argument("alias", nargs="?", metavar="ALIAS", help="only of this stage or alias")
    back.add_argument("alias", metavar="ALIAS", help="a stage or alias")
    for made in (stage, back):
        made.add_argument("--reason", metavar="TEXT", help="kept in the history")
    delete.add_argument("version", nargs="?", metavar="VERSION", help="number or label")
    delete.add_argument("--force", action="store_true", help="also while one is in production")
    delete.add_argument("-y", "--yes", action="store_true", help=argparse.SUPPRESS)  # ZenML's
    zenml.models(menu)


def _tags(menu: _Menu) -> None:
    menu.add("list", "tags", "listing", "tags by name")
    uses = menu.add("show", "tags", "uses", "what has a tag, the newest first")
    create = menu.add("create", "tags", "create", "define a tag")
    update = menu.add("update", "tags", "update", "change a tag; who has it keeps it")
    delete = menu.add("delete", "tags", "delete", "delete a tag, from everything that has it too")
    for made in (uses, create, update, delete):
        made.add_argument("tag", metavar="TAG", help="name of the tag")
    uses.add_argument("--limit", type=int, default=100, metavar="N", help="how many (100)")
    create.add_argument("--exclusive", action="store_true", help="on one of its kind at a time")
    update.add_argument("--exclusive", action=argparse.BooleanOptionalAction, default=None,
                        help="on one of its kind at a time")  # fmt: skip
    update.add_argument("--name", metavar="NAME", help="what it is called from now on")
    for made in (create, update):
        made.add_argument("--color", metavar="COLOR", help="such as blue")
    add = menu.add("add", "tags", "add", "put tags on something")
    remove = menu.add("remove", "tags", "remove", "take tags away from something")
    for made in (add, remove):
        made.add_argument("tags", nargs="+", metavar="TAG")
        made.add_argument("--run", metavar="RUN", help="id, beginning of one, or name")
        made.add_argument("--snapshot", metavar="PIPELINE/N", help="such as churn/3")
        for kind in ("pipeline", "deployment"):
            made.add_argument(f"--{kind}", metavar="NAME")
        for kind in ("artifact", "model"):
            made.add_argument(f"--{kind}", metavar="NAME[@VERSION]", help="or one version of it")
    zenml.tags(menu)


def _trust(top: _Menu) -> None:
    trust = top.add("trust", "trust", "trust", "list what somebody else signed, or let it run here")
    trust.add_argument("snapshots", nargs="*", metavar="NAME@N", help="what to trust, as churn@3")
    trust.add_argument("--all", action="store_true", help="trust every snapshot of the store")


def _keys(menu: _Menu) -> None:
    create = _named(menu.add("create", "keys", "create", "make a key; it is shown this once"))
    create.add_argument("key_name", metavar="KEY", help="name of the key")
    create.add_argument("--scope", action="append", choices=["invoke", "read"], default=None,
                        help="what it opens (invoke)")  # fmt: skip
    create.add_argument("--expires-in", type=_duration, metavar="TIME",
                        help="seconds, or as 30m, 12h, 90d")  # fmt: skip
    _named(menu.add("list", "keys", "listing", "keys of a deployment"))
    revoke = _named(menu.add("revoke", "keys", "revoke", "make a key useless, at once"))
    revoke.add_argument("key_name", metavar="KEY", help="name of the key")


def _logs(top: _Menu) -> None:
    logs = top.add("logs", "logs", "search", "what runs wrote, the newest last")
    logs.add_argument("--grep", metavar="TEXT", help="only lines with this text, in any case")
    logs.add_argument("--regex", action="store_true", help="--grep is a regular expression")
    logs.add_argument("--run", dest="run_id", metavar="RUN", help="only of this run")
    for name in ("pipeline", "deployment", "step", "stream", "level"):
        logs.add_argument(f"--{name}", metavar="NAME", help=f"only of this {name}")
    logs.add_argument("--since", metavar="TIME", help="RFC 3339, such as 2026-11-21T08:00:00Z")
    logs.add_argument("--until", metavar="TIME", help="before then")
    logs.add_argument("--limit", type=int, default=100, metavar="N", help="how many (100)")


def _store(menu: _Menu) -> None:
    menu.add("usage", "store", "usage", "how much there is, and how it grows")
    prune = menu.add("prune", "store", "prune", "delete old runs; without a limit, by the server's")
    prune.add_argument("--older-than", type=_duration, metavar="TIME", help="as 12h, 90d")
    prune.add_argument("--max-runs", type=int, metavar="N", help="the newest N stay")
    prune.add_argument("--max-bytes", metavar="SIZE",
                       help="the oldest go until the rest takes no more, as 2GB")  # fmt: skip
    prune.add_argument("--pipeline", metavar="NAME", help="only runs of this pipeline")
    prune.add_argument("--deployment", metavar="NAME", help="only runs of this deployment")
    prune.add_argument("--dry-run", action="store_true", help="only say what would go")
    export = menu.add("export", "store", "export", "write the history as Parquet, with its files")
    export.add_argument("folder", metavar="DIR", nargs="?",
                        help="not there yet; by default one inside the store")  # fmt: skip
    export.add_argument("--no-files", action="store_true", help="leave out artifacts and snapshots")
    taken = menu.add("import", "store", "import_", "take in what is new in an export or a store")
    taken.add_argument("folder", metavar="DIR", help="of the export, or of the other store")


def _secrets(menu: _Menu) -> None:
    put = menu.add("set", "secrets", "put", "keep a secret; its value is asked for, or piped in")
    menu.add("list", "secrets", "listing", "names of the secrets, never values")
    delete = menu.add("delete", "secrets", "delete", "forget a secret")
    for made in (put, delete):
        made.add_argument("name", metavar="NAME", help="name of the secret")


def _runs(menu: _Menu) -> None:
    listing = menu.add("list", "runs", "listing", "runs, the newest first")
    for name in ("pipeline", "deployment", "status", "trigger", "tag"):
        listing.add_argument(f"--{name}", metavar="NAME", help=f"only runs of this {name}")
    listing.add_argument("--limit", type=int, default=20, metavar="N", help="how many (20)")
    listing.add_argument("--since", metavar="TIME", help="RFC 3339, such as 2026-11-21T08:00:00Z")
    show = menu.add("show", "runs", "show_run", "one run with its steps, logs and outputs")
    wait = menu.add("wait", "runs", "wait", "wait for the end of a run; prints its outputs")
    cancel = menu.add("cancel", "runs", "cancel", "ask a run to stop")
    follow = menu.add("follow", "runs", "follow", "show what happens in a run as it happens")
    for made in (show, wait, cancel, follow):
        made.add_argument("run_id", metavar="RUN", help="id of the run")
        made.add_argument("--deployment", metavar="NAME", help="its deployment, with a key")
    wait.add_argument("--timeout", type=_seconds, metavar="S", help="seconds to wait at most")
    rerun = menu.add("rerun", "runs", "rerun", "run a call once more, with the same or other input",
                     words=_PARAMETERS)  # fmt: skip
    rerun.add_argument("run_id", metavar="RUN", help="id of the run")
    rerun.add_argument("--snapshot", default="own", metavar="N",
                       help="own, newest or a number (own)")  # fmt: skip
    rerun.add_argument("--replace", action="store_true",
                       help="the parameters given are all, not changes to the run's")  # fmt: skip
    rerun.add_argument("--no-wait", action="store_true", help="only start the run; prints its id")
    rerun.add_argument("--timeout", type=_seconds, metavar="S", help="seconds to wait at most")
    _given(rerun)
    told = menu.add("openlineage", "lineage", "openlineage", "a run as OpenLineage events")
    told.add_argument("run_id", metavar="RUN", help="id of the run")
    told.add_argument("--namespace", default="warmcell", metavar="NAME",
                      help="of jobs and datasets (warmcell)")  # fmt: skip
    compare = menu.add("compare", "runs", "compare", "what differs between two runs")
    compare.add_argument("before", metavar="RUN", help="id of a run")
    compare.add_argument("after", metavar="RUN", help="id of another one")
    compare.add_argument("--tolerance", type=float, metavar="X",
                         help="how far numbers may be apart and count as the same")  # fmt: skip


def _artifacts(menu: _Menu) -> None:
    listing = menu.add("list", "artifacts", "listing", "artifacts, or the versions of one")
    listing.add_argument("name", nargs="?", metavar="NAME", help="versions of this artifact")
    listing.add_argument("-t", "--tag", metavar="TAG", help="only what has this tag")
    listing.add_argument("--pipeline", metavar="NAME", help="only of this pipeline")
    listing.add_argument("--run", metavar="RUN", help="versions that this run made")
    listing.add_argument("--limit", type=int, default=20, metavar="N", help="how many (20)")
    show = menu.add("show", "artifacts", "show_version", "all about one version, and what uses it")
    load = menu.add("load", "artifacts", "load", "write its files into a folder, or print it")
    delete = menu.add("delete", "artifacts", "delete", "delete a version that nothing uses")
    around = menu.add("lineage", "lineage", "around", "what a version came from, what came of it")
    origin = menu.add("origin", "lineage", "origin", "the run, parameters and code that made it")
    side = around.add_mutually_exclusive_group()
    side.add_argument("--up", action="store_true", help="only where it came from")
    side.add_argument("--down", action="store_true", help="only what was made of it")
    around.add_argument("--depth", type=int, default=20, metavar="N", help="how far to go (20)")
    for made in (show, load, delete, around, origin):
        made.add_argument("version", metavar="NAME[@VERSION]",
                          help="as churn-model@3; the newest by default; or an id")  # fmt: skip
    load.add_argument("folder", nargs="?", metavar="FOLDER", help="where its files go (here)")
    load.add_argument("--overwrite", action="store_true", help="replace files that exist")
    delete.add_argument("--all", action="store_true", help="all versions of the artifact")
    prune = menu.add("prune", "artifacts", "prune", "delete versions that nothing uses")
    prune.add_argument("artifact", nargs="?", metavar="NAME", help="only of these, as 'churn*'")
    prune.add_argument("--older-than", type=_duration, dest="days", metavar="TIME",
                       help="as 12h, 90d")  # fmt: skip
    prune.add_argument("--keep", type=int, metavar="N", help="the newest N of each artifact stay")
    prune.add_argument("--max-bytes", type=int, dest="bytes", metavar="N",
                       help="the oldest go until the rest takes no more")  # fmt: skip
    prune.add_argument("--unused", action="store_true", help="all that nothing uses")
    prune.add_argument("--dry-run", action="store_true", help="only say what would go")
    zenml.artifacts(menu)


def _servers(top: _Menu) -> None:
    serve = top.add(
        "serve",
        "servers",
        "serve",
        "start a Jupyter server with Warmcell and no browser, or say where one runs",
        words="Options of Jupyter Server, such as --ServerApp.ip=0.0.0.0, are passed on.",
    )
    serve.add_argument("--folder", metavar="FOLDER", default=".", help="root folder (this one)")
    serve.add_argument("--port", type=int, metavar="N", help="port (8888, or the next free one)")
    top.add("status", "servers", "status", "the servers that run, and what they serve")


def _named(made: argparse.ArgumentParser) -> argparse.ArgumentParser:
    made.add_argument("name", metavar="NAME", help="name of the deployment")
    return made


def _given(made: argparse.ArgumentParser) -> None:
    made.add_argument(
        "-p", "--parameters", metavar="JSON",
        help="parameters as a JSON object; @FILE reads it from a file, - from standard input",
    )  # fmt: skip


def _seconds(text: str) -> float:
    seconds = float(text)
    if not seconds > 0:
        raise argparse.ArgumentTypeError("it is a number of seconds above 0")
    return seconds


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def _duration(text: str) -> float:
    unit: Any = _UNITS.get(text[-1:])
    try:
        seconds = float(text[:-1]) * unit if unit else float(text)
    except ValueError:
        seconds = 0.0
    if not seconds > 0:
        raise argparse.ArgumentTypeError(f"'{text}' is no time: write 3600, 30m, 12h or 90d")
    return seconds
