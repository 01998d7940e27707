"""Calling a deployment, by ZenML's name and with its arguments."""

from __future__ import annotations

from typing import Any

__all__ = ["invoke_deployment"]


def invoke_deployment(
    deployment_name_or_id: str,
    project: str | None = None,
    timeout: int = 300,
    submit: bool = False,
    **kwargs: Any,
) -> dict[str, Any]:
    """Call a deployment by its name and return the whole answer, as HTTP would give it.

    Args:
        project: has no meaning here.
        timeout: seconds.
        submit: do not wait; the answer has ``run_id``.
        kwargs: the parameters.

    Raises what :meth:`warmcell.deployment.Deployment.invoke` raises.
    """
    from warmcell.client import Client
    from warmcell.remote.calling import CallOptions, calling

    request = calling(
        deployment_name_or_id,
        CallOptions(timeout=timeout),
        parameters=kwargs,
        detached=submit,
    )
    answer: dict[str, Any] = Client().send(request)
    return answer
