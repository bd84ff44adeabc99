"""Serve MLflow's pages over a workspace's store."""

import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from rich.console import Console

from adapert.errors import InputError
from adapert.process import signal_handlers
from adapert.tracking.store import DATABASE, open_store, tracking_uri
from adapert.tracking.views import share_views, view_address

N_SHOWN = 6
"""Number of addresses that are printed, for all studies and the newest leaderboards."""

GUARD = """
import os, signal, subprocess, sys, threading

def end_with_parent():
    sys.stdin.buffer.read()  # until the pipe's other end is gone, however that process ended
    os.killpg(0, signal.SIGTERM)

threading.Thread(target=end_with_parent, daemon=True).start()
sys.exit(subprocess.call(sys.argv[1:], stdin=subprocess.DEVNULL))
"""
"""Runs a command, and ends it and all that it started when the process that runs this is gone."""


def serve(workspace: Path, port: int, console: Console) -> int:
    """Run MLflow's server on 127.0.0.1 until Ctrl-C, SIGTERM or the terminal's end.

    Returns:
        The server's exit status; 0 after Ctrl-C.

    Raises:
        InputError: The workspace has no store, or the port is taken.
    """
    if not (workspace / DATABASE).is_file():
        raise InputError(
            f"The page shows a workspace with studies, but '{workspace}' has no {DATABASE}. Launch a study "
            "first, or name its workspace with --workspace."
        )
    check_port(port)
    client, experiment_id = open_store(workspace)
    views = share_views(client, experiment_id)
    for view in views[:N_SHOWN]:
        console.print(f"{view}: {view_address(experiment_id, port, view)}", soft_wrap=True, markup=False)
    if len(views) > N_SHOWN:
        console.print(f"{len(views) - N_SHOWN} older studies: put a study's name in place of the last one.")
    console.print("Ctrl-C ends it.")
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", tracking_uri(workspace)]
    command += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--uvicorn-opts", "--log-level warning"]
    # Without its job runner the server starts in half the time and memory; nothing here runs jobs.
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "PYTHONWARNINGS": "ignore"}
    # In a session of its own, so that Ctrl-C reaches only this process (the server would print a traceback);
    # then whatever else ends this process must end the server too.
    ending = dict.fromkeys((signal.SIGTERM, signal.SIGHUP), signal.default_int_handler)
    guarded = [sys.executable, "-S", "-c", GUARD, *command]
    with (
        signal_handlers(ending),
        subprocess.Popen(guarded, env=environment, stdin=subprocess.PIPE, start_new_session=True) as server,
    ):
        try:
            return _wait(server)
        except KeyboardInterrupt:
            return 0
        finally:
            with suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGTERM)


def check_port(port: int) -> None:
    """Refuse a port of this machine that something listens on.

    Raises:
        InputError: It is taken.
    """
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise InputError(f"The page needs a free port, but {port} is taken. Give another with --port.")


def _wait(server: subprocess.Popen[bytes]) -> int:
    # A signal that the system gives to another thread only sets a flag, which this thread must wake to see.
    while True:
        with suppress(subprocess.TimeoutExpired):
            return server.wait(timeout=0.5)
