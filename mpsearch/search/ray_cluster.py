"""A Ray cluster to run trials on: one of this machine alone, or one that is running."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from mpsearch.errors import RunError
from mpsearch.search.placement import Placement
from mpsearch.search.processors import usable_cpus
from mpsearch.search.ray_address import AUTO, LOCAL, require_address

# Nothing of Ray's may print over the live view or call out; trials come one at a time from our searcher.
_ENVIRONMENT = {
    "RAY_AIR_NEW_OUTPUT": "0",  # the new one prints tables whatever it is told
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1e9",  # Tune's state is never read back: our study is the truth
    "TUNE_MAX_PENDING_TRIALS_PG": "1000",  # the search itself asks for no more than fit
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_RESULT_BUFFER_LENGTH": "1",
    "TUNE_WARN_THRESHOLD_S": "1e9",
}
_TOKEN = "RAY_AUTH_TOKEN_PATH"  # noqa: S105 - names of environment variables
_TOKEN_VALUE = "RAY_AUTH_TOKEN"  # noqa: S105
_MODE = "RAY_AUTH_MODE"
_REACH_S = 5.0
_LONGEST_BASE = 40  # letters: Ray's sockets lie deep below, and their paths have at most 107
_PREFIX = "mpsearch-ray"
_STORE_BYTES = 512 * 2**20  # of a local cluster; Ray spills to disk what is more
_LOOK_AGAIN_S = 1.0
_SILENT_S = 10.0
_ROUNDING = 1e-6  # three times 0.1 is more than 0.3


class RayCluster:
    """A connection to Ray, for as long as a search runs. Use as a context manager.

    `address`: `local` starts a cluster of this machine alone, which listens on 127.0.0.1 only, has a token of
    its own and ends with the connection; `auto` joins the running cluster that this machine belongs to;
    HOST:PORT joins that whose head listens there, and this machine must be a node of it. Where the program
    is connected to that cluster already, the connection is used and left open. `folder` is a place for
    files that end with the connection.

    Raises: ConfigError if the address is none; RunError if there is no such cluster, it cannot be joined, or
    runs another Ray or Python.
    """

    def __init__(self, address: str) -> None:
        self._scope = contextlib.ExitStack()
        self._seen_at = float("-inf")
        self._nodes: list[dict[str, float]] = []
        self._head = ("", 0)
        self._silent_since: float | None = None
        try:
            require_address(address)
            self._scope.enter_context(_quiet())
            self.folder = self._scope.enter_context(_folder_of_ours())
            self._connect(address)
        except BaseException:
            self.close()
            raise

    def slots(self, cpus: float, gpus: float) -> int:
        """How many trials of that many processors and GPUs the nodes hold that are alive now."""
        if time.monotonic() - self._seen_at > _LOOK_AGAIN_S and self.has_head:
            self._silent_since = None
            self._nodes = [node["Resources"] for node in _ray().nodes() if node["Alive"]]
            self._seen_at = time.monotonic()
        return sum(_fits(node, cpus, gpus) for node in self._nodes)

    def require_slot(self, cpus: float, gpus: float) -> None:
        """Raises: RunError if no node holds a trial of that many processors and GPUs."""
        if not self.slots(cpus, gpus):
            raise _too_large(cpus, gpus, self._nodes)

    @property
    def has_head(self) -> bool:
        """Whether the cluster's head takes connections. Ray waits a minute for it, then ends this process."""
        try:
            socket.create_connection(self._head, timeout=_REACH_S).close()
        except OSError:
            return False
        return True

    def require_head(self) -> None:
        """Raises: RunError if the head has been silent for some seconds."""
        now = time.monotonic()
        if self.has_head:
            self._silent_since = None
        elif self._silent_since is None:
            self._silent_since = now
        elif now - self._silent_since > _SILENT_S:
            raise RunError(
                f"The head of the Ray cluster must answer at {':'.join(map(str, self._head))}; it is gone. "
                "Finished trials are kept: start a cluster and give the same command again, or go on without "
                "--ray."
            )

    def close(self) -> None:
        """End a cluster of our own, leave any other. May be called twice."""
        self._scope.close()

    def __enter__(self) -> RayCluster:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _connect(self, address: str) -> None:
        ray = _ray()
        if ray.is_initialized():
            connected = ray.get_runtime_context().gcs_address
            if address not in (AUTO, connected):
                raise RunError(
                    f"This program is connected to Ray at {connected} already; got ray={address!r}. Use "
                    "ray='auto' for that cluster, or call ray.shutdown() first."
                )
            self._head = _host_and_port(connected)
            return
        options: dict[str, Any] = {
            "log_to_driver": False,
            "configure_logging": False,
            "job_config": _imports_as_here(),
        }
        if address == LOCAL:
            options |= self._scope.enter_context(_private(self.folder))
        else:
            _require_listener(address)
        self._scope.callback(self._leave)
        try:
            with _signals_kept():
                context = ray.init(address=address, **options)
        except (ray.exceptions.RayError, ConnectionError, RuntimeError, ValueError, OSError) as error:
            raise _refused(address, error) from error
        self._head = _host_and_port(ray.get_runtime_context().gcs_address)
        if address == LOCAL and context.address_info["node_ip_address"] != "127.0.0.1":
            raise RunError(
                "A local cluster must listen on 127.0.0.1 only; this version of Ray took "
                f"{context.address_info['node_ip_address']}. Search with --workers instead."
            )

    def _leave(self) -> None:
        ray = _ray()
        if not ray.is_initialized():
            return
        if self.has_head:
            ray.shutdown(wait_for_processes=True)  # they would write to a folder that is gone
            return
        # These would wait for the head at the end of this process, and then end it as a failure of Ray's.
        from ray.tune import registry  # noqa: PLC0415

        atexit.unregister(ray.shutdown)
        atexit.unregister(registry._unregister_all)
        ray._private.worker._global_node.kill_all_processes(check_alive=False, allow_graceful=False)


def _imports_as_here() -> Any:
    """Let actors find modules where this program does.

    Ray puts the working directory first, though a program that was installed does not look there: in a
    checkout of mpsearch, actors would take its sources, which have no built kernels. Ray spares jobs of its
    client that, and is told that this is one; it says nothing else by it.
    """
    from ray.job_config import JobConfig  # noqa: PLC0415

    ours = Path(__file__).resolve().parents[2]
    path = [Path(entry).resolve() for entry in sys.path]
    path.sort(key=lambda entry: entry != ours and (entry / "mpsearch").is_dir())  # other copies of it last
    return JobConfig(_client_job=True, _py_driver_sys_path=[str(entry) for entry in path[::-1]])


def _host_and_port(address: str) -> tuple[str, int]:
    host, port = address.rsplit(":", 1)
    return host.strip("[]"), int(port)


def require_place(placement: Placement) -> None:
    """See, before a model is trained for hours, that trials could run where `placement` says.

    A running cluster is joined for that and left again; a local one would be no larger than this machine.

    Raises: RunError as `RayCluster` and `require_slot`.
    """
    assert placement.ray is not None
    cpus, gpus = placement.cpus_per_trial or 1.0, placement.gpus_per_trial
    if placement.ray == LOCAL and not _ray().is_initialized():
        machine = {"CPU": float(len(usable_cpus())), "GPU": _gpus_here() if gpus else 0.0}
        if not _fits(machine, cpus, gpus):
            raise _too_large(cpus, gpus, [machine])
        return
    with RayCluster(placement.ray) as cluster:
        cluster.require_slot(cpus, gpus)


def _gpus_here() -> float:
    from ray._private.accelerators import get_accelerator_manager_for_resource  # noqa: PLC0415

    manager = get_accelerator_manager_for_resource("GPU")
    return 0.0 if manager is None else float(manager.get_current_node_num_accelerators())


def _too_large(cpus: float, gpus: float, nodes: list[dict[str, float]]) -> RunError:
    most = max(nodes, key=lambda node: (node.get("GPU", 0), node.get("CPU", 0)), default={})
    asked = [_counted(cpus, "processor"), _counted(gpus, "GPU")]
    return RunError(
        f"A trial must fit on one node of the cluster; it asks for {' and '.join(asked)}, the largest has "
        f"{most.get('CPU', 0):g} and {most.get('GPU', 0):g}. Lower --cpus-per-trial or --gpus-per-trial, or "
        "add a node."
    )


def _counted(count: float, noun: str) -> str:
    return f"{count:g} {noun}{'' if count == 1 else 's'}"


def _fits(node: dict[str, float], cpus: float, gpus: float) -> int:
    asked = {"CPU": cpus, "GPU": gpus}
    return min(int(node.get(name, 0) / share + _ROUNDING) for name, share in asked.items() if share)


def _require_listener(address: str) -> None:
    """Ray waits long for a cluster that is not there."""
    if address == AUTO:
        return
    try:
        socket.create_connection(_host_and_port(address), timeout=_REACH_S).close()
    except OSError as error:
        raise RunError(
            f"A Ray cluster must listen at {address}; got: {error.strerror or error}. Start one with "
            "`ray start --head`, or use --ray local."
        ) from error


def _refused(address: str, error: Exception) -> RunError:
    text = " ".join(str(error).split()).rstrip(".") + "."
    name = type(error).__name__
    if "Version mismatch" in text:
        return RunError(
            f"Ray and Python must be the same on all machines of a cluster; got: {text} Install the same "
            "ones here."
        )
    if name == "AuthenticationError" or "authentication" in text.lower() or "token" in text.lower():
        return RunError(
            f"The Ray cluster asks for its token; got: {text} Copy it from the head (ray get-auth-token) "
            "into ~/.ray/auth_token and set RAY_AUTH_MODE=token."
        )
    if address == AUTO and isinstance(error, ConnectionError):
        return RunError(
            "--ray auto needs a running cluster; found none on this machine. Start one with "
            "`ray start --head`, or use --ray local."
        )
    if address == LOCAL:
        return RunError(f"A local Ray cluster did not start: {name}: {text} Search with --workers instead.")
    return RunError(
        f"The Ray cluster at {address} must be running, and this machine one of its nodes; got {name}: "
        f"{text} Make it one with `ray start --address={address}`; if the cluster asks for a token, set "
        "RAY_AUTH_MODE=token and copy ~/.ray/auth_token from the head."
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Ray's settings in the environment, and its voice off."""
    with _set_environment(_ENVIRONMENT):
        from ray._private import worker  # noqa: PLC0415

        logger = logging.getLogger("ray")
        before = (logger.level, logger.propagate, list(logger.handlers))
        handler = logging.NullHandler()
        logger.addHandler(handler)
        logger.setLevel(logging.CRITICAL)
        logger.propagate = False
        spoke = worker._worker_logs_enabled
        worker._worker_logs_enabled = False  # errors of workers would be printed on standard output
        try:
            yield
        finally:
            worker._worker_logs_enabled = spoke
            logger.setLevel(before[0])
            logger.propagate = before[1]
            logger.handlers[:] = before[2]


@contextlib.contextmanager
def _folder_of_ours() -> Iterator[Path]:
    """A folder that only this user may open, under a path short enough for Ray's sockets."""
    base = tempfile.gettempdir()
    base = base if len(base) <= _LONGEST_BASE else "/tmp"  # noqa: S108
    _sweep(Path(base))
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}-{os.getpid()}-", dir=base))
    try:
        yield folder
    finally:
        _remove(folder)


@contextlib.contextmanager
def _private(folder: Path) -> Iterator[dict[str, Any]]:
    """Settings of a cluster of our own: a token, and loopback as its only address."""
    import ray._private.ray_constants as constants  # noqa: PLC0415

    token = folder / "token"
    token.touch(mode=0o600)
    token.write_text(secrets.token_hex(32))
    cluster_of_many = constants.ENABLE_RAY_CLUSTER
    try:
        with _set_environment({_MODE: "token", _TOKEN: str(token), _TOKEN_VALUE: None}):
            # Ray's own switch, off on macOS and Windows: nodes have the address 127.0.0.1, and its servers
            # then listen there alone. Given 127.0.0.1 otherwise, Ray takes the machine's outer address.
            constants.ENABLE_RAY_CLUSTER = False
            read_authentication()
            yield {
                "num_cpus": len(usable_cpus()),
                "include_dashboard": False,
                "object_store_memory": _STORE_BYTES,
                "_temp_dir": str(folder / "ray"),
            }
    finally:
        constants.ENABLE_RAY_CLUSTER = cluster_of_many
        read_authentication()


def _remove(folder: Path) -> None:
    """Remove a folder that processes which are ending may still write to."""
    deadline = time.monotonic() + _REACH_S
    while folder.exists():
        shutil.rmtree(folder, ignore_errors=True)
        if time.monotonic() > deadline:
            return
        time.sleep(0.05)


def _sweep(base: Path) -> None:
    """Remove what clusters of drivers that were killed have left."""
    for folder in base.glob(f"{_PREFIX}-*-*"):
        driver = folder.name.split("-")[2]
        if driver.isdigit() and not Path(f"/proc/{driver}").exists() and Path("/proc/self").exists():
            shutil.rmtree(folder, ignore_errors=True)


def read_authentication() -> None:
    """Let Ray read its authentication settings from the environment again."""
    from ray import _raylet  # noqa: PLC0415

    raylet: Any = _raylet
    raylet.Config.initialize("")
    raylet.AuthenticationTokenLoader.instance().reset_cache()


def _ray() -> Any:
    """Ray, imported only where a search asks for it: it takes longer than reading a run."""
    import ray  # noqa: PLC0415

    return ray


@contextlib.contextmanager
def _signals_kept() -> Iterator[None]:
    """Ray takes SIGTERM for itself when it connects."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _set_environment(settings: Mapping[str, str | None]) -> Iterator[None]:
    """Set variables (None: remove), and put them back."""
    before = {name: os.environ.get(name) for name in settings}
    try:
        _assign(settings)
        yield
    finally:
        _assign(before)


def _assign(settings: Mapping[str, str | None]) -> None:
    for name, value in settings.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
