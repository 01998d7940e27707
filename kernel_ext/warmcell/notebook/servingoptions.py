"""Options of magics for the settings of a deployment: ``--concurrency 4 --auth public``."""

from __future__ import annotations

import functools
from argparse import Namespace
from collections.abc import Callable, Mapping
from typing import Any

from IPython.core.magic_arguments import argument

from warmcell.notebook.names import look_up

__all__ = ["serving_options", "settings_given"]


def _text(word: str) -> str:
    """A word without the quotes around it, which IPython leaves there."""
    quoted = len(word) > 1 and word[0] == word[-1] and word[0] in "\"'"
    return word[1:-1] if quoted else word


def _fraction(word: str) -> str | float:
    try:
        return float(word)
    except ValueError:
        return _text(word)


def _kept(word: str) -> bool | float:
    return True if word.lower() == "true" else float(word)


# Each is the field of DeploymentSettings of the same name.
_VALUES: dict[str, tuple[Callable[[str], Any], str, str]] = {
    "concurrency": (int, "N", "runs at once"),
    "max_queue": (int, "N", "runs that may wait"),
    "timeout": (float, "S", "seconds for waiting and running together"),
    "queue_timeout": (float, "S", "seconds for waiting"),
    "run_timeout": (float, "S", "seconds for running"),
    "pool": (_text, "NAME", "pool that it shares with other deployments"),
    "pool_size": (int, "N", "runs at once in the pool"),
    "replicas": (int, "N", "serve from so many kernels of its own"),
    "recycle_after": (int, "N", "runs after which such a kernel is replaced"),
    "memory_limit": (_text, "SIZE", "memory from which on it is replaced, as 2GB"),
    "hang_timeout": (float, "S", "seconds of silence after which it is replaced"),
    "keep_alive": (_kept, "S", "seconds a kernel is kept after its last call, or True: always"),
    "expires_in": (float, "S", "seconds until the deployment ends"),
    "record": (_fraction, "WHAT", "all, errors, none or a fraction"),
    "artifacts": (_fraction, "WHAT", "outputs kept: all, errors, none or a fraction"),
    "follow": (_text, "STAGE", "serve the version of the model that is there, now and later"),
    "auth": (_text, "WHO", "jupyter or public"),
    "app_title": (_text, "TEXT", "title of its documentation"),
    "app_description": (_text, "TEXT", "description in its documentation"),
    "app_version": (_text, "TEXT", "version in its documentation"),
    "api_url_path": (_text, "PATH", "prefix of the paths"),
    "docs_url_path": (_text, "PATH", "path of the documentation"),
    "invoke_url_path": (_text, "PATH", "path of the calls"),
    "submit_url_path": (_text, "PATH", "path of the calls that do not wait"),
    "health_url_path": (_text, "PATH", "path of its health"),
    "info_url_path": (_text, "PATH", "path of its description"),
    "metrics_url_path": (_text, "PATH", "path of its metrics"),
    "dashboard_files_path": (_text, "FOLDER", "front end to serve beside the calls"),
}
_SWITCHES = {
    "trusted": "let the front end act as the Jupyter server itself",
    "cancel_on_disconnect": "end a run whose caller went away",
    "idempotent": "send a run once more when its kernel goes away",
    "isolated": "serve from a kernel of its own",
    "standby": "keep a second, restored kernel ready",
}
_NAMES = {
    "custom_endpoints": "endpoints, by the names of their variables",
    "custom_middlewares": "functions around each call, the outermost first",
}
_HOOKS = {
    "startup_hook": "called after --on-init",
    "shutdown_hook": "called before --on-cleanup",
}


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def serving_options(magic: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options to a magic."""
    options = [
        argument(_flag(name), type=kind, metavar=shown, help=text)
        for name, (kind, shown, text) in _VALUES.items()
    ]
    options.append(
        argument("--cors", nargs="+", metavar="ORIGIN", help="origins whose pages may call it")
    )
    options.append(
        argument("--redact", nargs="+", metavar="NAME", help="values to mask, by patterns of names")
    )
    options += [argument(_flag(n), action="store_true", help=t) for n, t in _SWITCHES.items()]
    options += [argument(_flag(n), nargs="+", metavar="NAME", help=t) for n, t in _NAMES.items()]
    options += [argument(_flag(n), metavar="FUNCTION", help=t) for n, t in _HOOKS.items()]
    return functools.reduce(lambda made, option: option(made), reversed(options), magic)


def settings_given(given: Namespace, namespace: Mapping[str, Any]) -> dict[str, Any]:
    """The settings among the options of a line, with those that ``--settings`` names beneath.

    Raises :class:`UsageError` for a name that is not defined and a setting that does not fit.
    """
    own: dict[str, Any] = {}
    for name in (*_VALUES, *_SWITCHES):
        value = getattr(given, name)
        if value is not None and value is not False:
            own[name] = value
    if given.cors:
        own["cors"] = {"allow_origins": [_text(origin) for origin in given.cors]}
    if given.redact:
        own["redact"] = [_text(name) for name in given.redact]
    for name in _NAMES:
        if names := getattr(given, name):
            own[name] = [look_up(namespace, word, _flag(name)) for word in names]
    for name in _HOOKS:
        if word := getattr(given, name):
            own[name] = look_up(namespace, word, _flag(name))
    if not own and not given.settings:
        return {}
    from warmcell.config.deployment_settings import normalized

    named = look_up(namespace, given.settings, "--settings") if given.settings else None
    return normalized(named) | normalized(own)
