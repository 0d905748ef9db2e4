"""What only the head knows, where nothing but Ray's client reaches the cluster: a task asks it, as one of the cluster."""

from __future__ import annotations

import os
from typing import Any, Literal

PATIENCE = 30.0  # seconds; a worker may have to start

Question = Literal["look", "autoscaler_capacity", "infeasible"]


def ask_through_task(question: Question) -> Any:
    """The answer of HeadClient's method `question`; None when no task can ask it, as where gitml is not installed there."""
    import ray

    call = ray.remote(num_cpus=0, max_retries=1)(_ask)
    try:
        return ray.get(call.options(name="gitml looks").remote(question), timeout=PATIENCE)
    except ray.exceptions.RayError:
        return None


def _ask(question: Question) -> Any:
    import ray

    from gitml.cluster.connect.connection import open_connection
    from gitml.cluster.connect.head_client import HeadClient
    from gitml.core.config.project import RayTarget

    here = RayTarget("inside", ray.get_runtime_context().gcs_address, insecure=True)
    head = HeadClient(open_connection(here, os.environ))
    try:
        return getattr(head, question)()
    finally:
        head.close()
