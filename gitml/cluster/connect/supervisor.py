"""The warden of a Ray of our own: starts its head, and ends all of it when its owner hangs up. See `own`."""

from __future__ import annotations

import json
import os
import select
import signal
import sys

from gitml.execute.descendants import become_subreaper, end_all
from gitml.execute.sandbox.removal import remove_tree


def main() -> None:
    """The owner writes a line of JSON and holds our standard input open for as long as the head shall live."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    said = b""
    while not said.endswith(b"\n"):
        chunk = os.read(0, 65536)
        if not chunk:
            return
        said += chunk
    asked = json.loads(said)
    become_subreaper("gitml-warden", os.getppid(), 0)
    signal.signal(signal.SIGTERM, lambda _number, _frame: end(asked["folder"]))
    try:
        address = _start(asked)
    except BaseException as error:
        print(f"{type(error).__name__}: {' '.join(str(error).split())}", file=sys.stderr, flush=True)
        end(asked["folder"], keep=True)
    else:
        os.write(1, f"{address}\n".encode())
        hung_up = select.poll()
        hung_up.register(0, select.POLLIN | select.POLLHUP)
        while os.read(0, 1) if hung_up.poll() else True:
            continue
        end(asked["folder"])


def _start(asked: dict[str, object]) -> str:
    """A head as `ray.init` starts it; this process is its first driver and asks nothing of it."""
    import ray

    from gitml.cluster.connect.local_cluster import ray_dir_of

    options = asked["options"]
    assert isinstance(options, dict)
    ray.init(
        address="local",
        include_dashboard=False,
        log_to_driver=False,
        logging_level="error",
        configure_logging=False,
        _node_ip_address="127.0.0.1",
        _temp_dir=ray_dir_of(str(asked["folder"])),
        **options,
    )
    return str(ray.get_runtime_context().gcs_address)


def end(folder: str, *, keep: bool = False) -> None:
    """Ends every process below this one, and this one. What Ray would tidy up lies in the folder, which goes."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    end_all()
    if not keep:
        remove_tree(folder)
    os._exit(0)


if __name__ == "__main__":
    main()
