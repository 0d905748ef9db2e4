"""Does what a request asks of a registry, in a process of its own."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from typing import Any

from gitml.core.kinds.image_names import ImageName
from gitml.errors import GitmlError, MachineError, machine_error
from gitml.execute.environments.images.manifests import LARGEST
from gitml.execute.environments.images.registry_process.blob_files import fetch_layers
from gitml.execute.environments.images.registry_process.client import RegistryClient
from gitml.files import write_all
from gitml.redaction import redacted

_LOOK = 0.1  # seconds


def _end_with(parent: int) -> None:
    """Ends this process when the one that started it is gone: nobody waits for the result."""
    while os.getppid() == parent:
        time.sleep(_LOOK)
    os._exit(1)


def _do(request: dict[str, Any]) -> None:
    client = RegistryClient(ImageName(*request["name"]), os.environ)
    if request["work"] == "manifest":
        write_all(1, client.manifest(request["reference"], LARGEST))
    elif request["work"] == "blob":
        write_all(1, client.small_blob(request["reference"], LARGEST))
    else:
        layers = [(str(digest), int(size)) for digest, size in request["layers"]]
        fetch_layers(client, layers, request["folder"], _report)


def _report(done: int, rate: float) -> None:
    write_all(1, json.dumps({"done": done, "rate": round(rate)}).encode() + b"\n")


def main(text: str) -> None:
    """Does what the request asks for, and ends the process."""
    request = json.loads(text)
    threading.Thread(target=_end_with, args=(request["parent"],), daemon=True).start()
    code = 0
    try:
        _do(request)
    except GitmlError as error:
        code = 1
        _fail(error)
    except OSError as error:
        code = 1
        _fail(machine_error(error, request.get("folder", ""), "an image can't be kept"))
    except Exception as error:
        code = 1
        _fail(MachineError(f"{type(error).__name__}: {error}"))
    os._exit(code)  # threads that still fetch are not waited for


def _fail(error: GitmlError) -> None:
    told = {"code": error.code, "error": redacted(error.message), "where": error.where, "hint": error.hint}
    write_all(2, json.dumps(told).encode() + b"\n")


if __name__ == "__main__":
    main(sys.argv[1])
