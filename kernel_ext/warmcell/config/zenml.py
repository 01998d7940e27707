"""Settings of ZenML that have no place here, and what to do instead of each."""

from __future__ import annotations

__all__ = ["ELSEWHERE", "GROUPS"]

_SERVER = (
    "The Jupyter server serves the deployment: its address, port and TLS are ServerApp.ip, "
    "ServerApp.port and ServerApp.certfile in the server's configuration."
)
_THREADS = (
    "Set `concurrency` (how many runs go on at once) and `max_queue` (how many may wait for them)."
)
_FRAMEWORK = (
    "There is no web application to change: use `custom_endpoints`, `custom_middlewares`, "
    "`startup_hook` and `on_init`."
)

ELSEWHERE: dict[str, str] = {
    "app_kwargs": "Set `app_title`, `app_description` and `app_version`.",
    "root_url_path": "A deployment is at {base_url}warmcell/{name}/: set ServerApp.base_url.",
    "redoc_url_path": "There is one page of documentation: set `docs_url_path`.",
    "thread_pool_size": _THREADS,
    "async_execution_thread_pool_size": _THREADS,
    "app_extensions": _FRAMEWORK,
    "uvicorn_host": _SERVER,
    "uvicorn_port": _SERVER,
    "uvicorn_reload": "A deployment is immutable: deploy again to serve changed code.",
    "uvicorn_workers": "Runs of one kernel share its memory: set `concurrency`.",
    "uvicorn_kwargs": _SERVER,
    "log_level": "Set the level of your own loggers; what they write is kept with the run.",
    "deployment_app_runner_flavor": _FRAMEWORK,
    "deployment_app_runner_kwargs": _FRAMEWORK,
    "deployment_service_class": _FRAMEWORK,
    "deployment_service_kwargs": _FRAMEWORK,
}

# Groups beside "deployment" that ZenML's `settings={...}` of a pipeline may have.
GROUPS: dict[str, str] = {
    "docker": "No image is built: the kernel that you work in serves the deployment.",
    "resources": "The kernel has what its machine has; share a scarce part of it with `pool`.",
    "orchestrator": "The kernel runs the steps; there is no orchestrator to configure.",
    "step_operator": "The kernel runs the steps; there is no step operator to configure.",
    "deployer": "The Jupyter server is the deployer; configure it as Warmcell.* traits.",
}
