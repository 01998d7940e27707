"""Cells that the host runs in a kernel, where the kernel is none."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path

import pytest
import zmq
from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.manager import AsyncKernelManager

from tests.support.gates import wait_until
from warmcell.errors import DeployError
from warmcell_server.kernelcells import Cells, Job


def test_a_port_that_went_to_another_kernel_holds_up_nothing(tmp_path: Path) -> None:
    """A kernel died because its port was taken, by a socket of another kind: that is an error, and
    the event loop goes on meanwhile."""
    with zmq.Context() as context, context.socket(zmq.XPUB) as other:
        port = other.bind_to_random_port("tcp://127.0.0.1")

        async def begin() -> None:
            client = AsyncKernelClient(ip="127.0.0.1", parent=AsyncKernelManager())
            client.shell_port = client.iopub_port = client.stdin_port = client.control_port = port
            client.start_channels(hb=False)
            try:
                socket = client.shell_channel.socket
                # Once it is refused nothing can be sent, until it tries again: mostly that is so.
                with contextlib.suppress(AssertionError):
                    wait_until(lambda: not socket.get(zmq.EVENTS) & zmq.POLLOUT, 2.0)
                cells = Cells(Job("churn", tmp_path), None, client, time.monotonic() + 5)
                with pytest.raises(DeployError, match="did not start"):
                    await cells.ready()
            finally:
                client.stop_channels()

        asyncio.run(asyncio.wait_for(begin(), 60))
