"""The program of a submitted run's job: ``python -m gitml.cli.job_main`` in the folder of its bundle.

Its output is read by gitml alone.
"""

from __future__ import annotations

import os
import sys
import threading

from gitml.cli.errors import DONE, FAILED, error_as_json, translate
from gitml.cli.interrupts import InterruptHandler
from gitml.submission.event_stream import JobEnded, JobEvent, event_lines


def main() -> int:
    """Performs the run of the job bundle in the current folder; returns the exit code."""
    from gitml.submission.job_main import run_job_bundle

    writing = threading.Lock()

    def emit(event: JobEvent) -> None:
        with writing:
            sys.stdout.write("".join([f"{line}\n" for line in event_lines(event)]))
            sys.stdout.flush()

    with InterruptHandler(quiet=True) as handler:
        try:
            run = run_job_bundle(os.getcwd(), dict(os.environ), emit, handler.stop)
        except BaseException as error:
            report = translate(error)
            emit(JobEnded(report.exit_code, error_as_json(report)))
            return report.exit_code
    code = {"succeeded": DONE, "cancelled": handler.exit_code}.get(run.status, FAILED)
    emit(JobEnded(code, None))
    return code


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # a transfer that is not needed any more may be under way in a thread
