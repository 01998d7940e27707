"""What ``%load_ext warmcell`` adds to a shell, and ``%unload_ext`` takes away again."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from warmcell import link, output
from warmcell.delays import cells
from warmcell.errors import WarmcellError
from warmcell.magics import WarmcellMagics

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["load", "unload"]

CONNECT_SECONDS = 10.0
"""How long loading waits for the link, for the one line that says where it hosts itself."""

log = logging.getLogger("warmcell.extension")


def load(shell: InteractiveShell) -> None:
    """Register the magics, capture output per run, and connect; harmless when repeated."""
    if _loaded(shell) is not None:
        return
    magics = WarmcellMagics(shell)
    table = shell.magics_manager.magics
    magics.replaced = {
        (kind, name): table[kind].get(name)
        for kind in magics.magics
        for name in magics.magics[kind]
    }
    shell.register_magics(magics)
    output.install()
    cells.install(shell, link.kernel().served)
    _connect()


def unload(shell: InteractiveShell) -> None:
    """Undo :func:`load`. What is deployed stays deployed until it is undeployed, so that
    ``%reload_ext`` interrupts no caller."""
    magics = _loaded(shell)
    if magics is None:
        return
    table = shell.magics_manager.magics
    for (kind, name), before in magics.replaced.items():
        if getattr(table[kind].get(name), "__self__", None) is not magics:
            continue  # somebody else took the name since
        if before is None:
            del table[kind][name]
        else:
            table[kind][name] = before
    del shell.magics_manager.registry[type(magics).__name__]
    kernel = link.kernel()
    if not kernel.serving.holds():
        output.uninstall()
        cells.uninstall()
        kernel.close()


def _loaded(shell: InteractiveShell) -> WarmcellMagics | None:
    found = shell.magics_manager.registry.get(WarmcellMagics.__name__)
    return found if isinstance(found, WarmcellMagics) else None


def _connect() -> None:
    """Connect on a thread, and say it in one line if this kernel has to host itself."""
    kernel = link.kernel()

    def work() -> None:
        try:
            kernel.link()
        except WarmcellError as error:
            log.info("Not connected yet: %s", error)  # the first use says it to the user

    thread = threading.Thread(target=work, name="warmcell-connect", daemon=True)
    thread.start()
    thread.join(CONNECT_SECONDS)
    kernel.say_where()
