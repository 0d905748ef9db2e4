"""``python -m tests.kit.attacks.victim``: performs many commands of gitml in one process, and looks at runs as the screens do.

Standard input is a JSON list of command lines; ``["look", RUN]`` asks all that screens ask of a run. Standard output is one JSON
list: of each how it ended, what it said, and how many seconds of CPU it took; and at last the peak of resident memory in bytes.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import sys
import time
import traceback
from typing import Any

from gitml.cli.main import run
from gitml.errors import GitmlError
from gitml.store.index.runs import newest_runs
from gitml.workspace import Workspace, open_workspace


def perform(words: list[str]) -> dict[str, Any]:
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="strict", write_through=True) for _ in range(2))
    begun = time.process_time()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = looked(words[1]) if words[0] == "look" else run(words)
        except BaseException:
            traceback.print_exc()
            code = 70
    seconds = time.process_time() - begun
    said, told = (stream.buffer.getvalue().decode("utf-8", "replace") for stream in (out, err))
    return {"words": words, "code": code, "out": said, "err": told, "seconds": seconds}


def looked(run_id: str) -> int:
    """Asks what the screens ask of a run; an error of gitml's is an answer."""
    with contextlib.closing(open_workspace(os.getcwd(), dict(os.environ))) as ws:
        for ask in (of_run, of_artifacts, of_lineage, of_sides):
            try:
                for line in ask(ws, run_id):
                    print(ascii(line)[:200])
            except GitmlError as error:
                print(error.message)
    return 0


def of_run(ws: Workspace, run_id: str) -> Any:
    from gitml.history import logs
    from gitml.history import logs as log_pages
    from gitml.history.files import plots
    from gitml.history.run_list import filter_runs
    from gitml.history.step_details import step_details
    from gitml.tui.screens.run.view import planned_steps, view_run

    yield from filter_runs(ws, run_id[:8])
    seen = view_run(ws, run_id)
    with contextlib.suppress(GitmlError):
        yield planned_steps(ws, seen.run).keys()
    for step in seen.run.steps[:20]:
        yield step_details(ws, seen.run, step)
        yield logs.lines_at_end(ws, step, 10)
    from gitml.history.runs import get_run

    found = get_run(ws, run_id)
    for part in logs.attempt_logs(ws, found)[:20]:
        with contextlib.suppress(GitmlError):
            yield log_pages.page_at(ws, part, 0)
            yield log_pages.find(ws, part, "x", 0)
    yield plots.plots_of(ws, seen.run)


def of_artifacts(ws: Workspace, run_id: str) -> Any:
    from gitml.history.artifacts import open_artifacts
    from gitml.history.files.preview import preview
    from gitml.history.runs import read_run

    yield open_artifacts(ws).totals()
    for step in read_run(ws, run_id).steps[:5]:
        for ref in step.outputs:
            with contextlib.suppress(GitmlError):
                yield preview(ws, ref.digest, ref.size, tree=ref.is_tree, name=ref.name)


def of_lineage(ws: Workspace, run_id: str) -> Any:
    from gitml.history.lineage.lineage import downstream, node_details, upstream
    from gitml.history.lineage.nodes import find_nodes

    nodes = find_nodes(ws, run_id)
    yield upstream(ws, nodes)
    yield downstream(ws, nodes)
    for node in nodes[:20]:
        yield node_details(ws, node)


def of_sides(ws: Workspace, run_id: str) -> Any:
    from gitml.history.compare import compare_runs

    newest = [row.id for row in newest_runs(ws.index, limit=2)]
    yield compare_runs(ws, [run_id, *[id for id in newest if id != run_id][:1]])


def main() -> None:
    done = [perform(words) for words in json.load(sys.stdin)]
    done.append({"peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10})
    json.dump(done, sys.stdout)


if __name__ == "__main__":
    main()
