"""Submitting a whole run to a cluster, and the note that is kept of it here."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing, suppress

from gitml import __version__
from gitml.cluster.connect.cluster import CLIENT_PORT, Cluster
from gitml.cluster.content.file_transfer import remove, upload
from gitml.cluster.jobs import JobClient, UnconfirmedError
from gitml.core.config.project import LOCAL, Config, Target
from gitml.core.model.environment import Environment, environment_of
from gitml.core.model.resources import Resources
from gitml.core.model.result import OutputRef
from gitml.core.planner.plan import REUSE, Plan
from gitml.core.text.format import size as size_text
from gitml.engine.execution.executor_kinds import EXECUTOR_KINDS, RunTargets, targets_of
from gitml.engine.execution.ray_kind import RaySession, connect_to
from gitml.engine.planning.load import Loaded
from gitml.engine.planning.planner import Planner, policy_for
from gitml.engine.planning.request import Origin, RunRequest
from gitml.engine.run import consented, head_of, refuse_blocked
from gitml.errors import InputError, RemoteError
from gitml.execute.environments.software import EnvironmentQuery
from gitml.git.revisions import IdentQuery
from gitml.history.submissions import Submission, forget_submission, note_submission
from gitml.submission.bundle import (
    SubmissionRequest,
    note_heavy_part,
    results_to_take,
    size_of,
    split_bundle,
    write_job_bundle,
)
from gitml.submission.job_main import new_folder
from gitml.workspace import Workspace

_PROGRAM = "exec python3 -m gitml.cli.job_main"
_BEGINNING, _ASKING = 6.0, 0.5  # seconds in which a job that was handed over is looked for; between two questions
LIGHT = 64 << 20  # bytes that go with the job: Ray holds them in the memory of its head


def choose_cluster(config: Config, loaded: Loaded, on: str | None) -> Target:
    """The cluster that a run is to be handed to: the one named, else the one its steps are to run on, else the only one."""
    names = [on] if on else list(dict.fromkeys(filter(None, [s.settings.target for s in loaded.graph.steps.values()])))
    clusters = [config.target(name) for name in names if name != LOCAL]
    if not clusters and not on:
        clusters = list(config.targets.values())
    if len(clusters) != 1:
        if on == LOCAL or not config.targets:
            hint = "name one: --on TARGET; gitml.yaml says what there is under targets"
            raise InputError("this machine takes no submissions, a cluster does", where="--on", hint=hint)
        raise InputError(f"which cluster? there is {', '.join(config.targets)}", hint="--on TARGET")
    refusal = EXECUTOR_KINDS[clusters[0].kind].submission_refusal(clusters[0])
    if refusal is not None:
        raise refusal
    return clusters[0]


def submit(ws: Workspace, loaded: Loaded, request: RunRequest, target: Target) -> Submission | None:
    """Hands the run over and returns as soon as the cluster has it; None when nothing is to be performed.

    InputError for steps that can't run, also those that no machine of the cluster can ever perform.
    """
    policy = policy_for(loaded, request.wanted, force=request.force, reuse=request.reuse)
    session = _SubmitterSession(ws, from_outside=True)
    targets = RunTargets(ws, loaded.config, request.jobs, request.on, {target.kind: session})
    planner = Planner(ws, loaded, policy, request.jobs, request.on, targets)
    ident = IdentQuery(ws.location)
    try:
        plan = planner.plan(request.wanted)
    finally:
        session.close()
    refuse_blocked(plan)
    if not plan.runs_something():
        ident.answer()
        return None
    loaded, names = loaded._replace(graph=plan.graph), list(plan.decisions)
    _refuse_secrets(loaded, names, target)
    consented(ws, plan)
    with closing(connect_to(ws, target.options)) as cluster:
        _refuse_unsatisfiable(cluster, loaded, plan, request.on)
        jobs = JobClient(cluster)
        run = head_of(ws, loaded, request, ident, ws.now())
        origin = Origin(run.by, run.dirty, run.base, run.branch)
        submission = Submission(run.id, target.name, run.pipeline, run.commit, run.started, run.by)
        caches = ws.caches_name if any(loaded.graph.steps[name].settings.caches for name in names) else ""
        asked = SubmissionRequest(run, request._replace(origin=origin, caches=caches), target.name)
        with tempfile.TemporaryDirectory(prefix="submit-", dir=ws.root) as place:
            folder = os.path.join(place, "bundle")
            os.mkdir(folder)
            write_job_bundle(ws, planner, plan, asked, _taken(planner, plan, cluster, jobs.most), folder)
            ahead = _send_ahead(cluster, place, folder, jobs.most)
            note_submission(ws, submission)  # first, so that no run is on the cluster and unknown here
            metadata = {"gitml": __version__, **{key: str(value) for key, value in submission._asdict().items()}}
            try:
                jobs.submit(submission.job, folder, _PROGRAM, {}, metadata)
            except BaseException as error:
                if not (isinstance(error, UnconfirmedError) and _has_taken(jobs, submission, error)):
                    forget_submission(ws, submission.run)
                    if ahead is not None:
                        with suppress(RemoteError):
                            remove(cluster, *ahead)
                    raise
    return submission


def _refuse_secrets(loaded: Loaded, names: Sequence[str], target: Target) -> None:
    """InputError for secret parameters: what is submitted lies on the disk of the head, and Ray shows it to all who may ask."""
    secret = [step for step in names if loaded.graph.steps[step].secrets]
    if secret:
        param = loaded.graph.steps[secret[0]].secrets[0][0]
        raise InputError(
            f"step {secret[0]!r} uses the secret parameter {param!r}, and a run that is submitted keeps no secrets",
            hint=f"gitml run --on {target.name} sends it in memory; or have env pass a variable of the cluster's machines on",
        )


def _has_taken(jobs: JobClient, submission: Submission, error: UnconfirmedError) -> bool:
    """Whether the cluster has the run all the same. RemoteError, and the note of it stays, when that is not known.

    Without an answer a run that is not listed can't be distinguished from one that is yet to begin.
    """
    short = submission.run[:8]
    end = time.monotonic() + (0.0 if error.answered else _BEGINNING)
    taken = sure = False
    with suppress(RemoteError):
        while not (taken := jobs.get(submission.job) is not None) and time.monotonic() < end:
            time.sleep(_ASKING)
        sure = taken or error.answered
    if taken and isinstance(error.__cause__, KeyboardInterrupt):
        message = f"run {short} had been handed over before the interruption, and goes on"
        raise RemoteError(message, where=error.where, hint=f"gitml cancel {short} ends it") from error
    if not sure:
        hint = f"gitml show {short} asks again; gitml collect --forget {short} if it stays unknown there"
        raise RemoteError(
            f"run {short} may be on the cluster: {error.message}", where=error.where, hint=hint
        ) from error
    return taken


def _taken(planner: Planner, plan: Plan, cluster: Cluster, most: int) -> list[OutputRef]:
    """The known outputs that the bundle takes in. InputError, before anything is read, for more than can be sent."""
    taken = results_to_take(planner, plan)
    if sum(output.size for output in taken) < LIGHT:
        return taken
    taken = results_to_take(planner, plan, few=True)
    size = sum(output.size for output in taken)
    if size >= most:
        _can_drive(cluster, size, most)
    return taken


def _send_ahead(cluster: Cluster, place: str, folder: str, most: int) -> tuple[str, str] | None:
    """Uploads what may be large of a bundle to the head's disk; where it is there, None when all goes with the job.

    What is small enough to do so goes with the job too where nothing but the dashboard reaches the cluster.
    """
    size = size_of(folder)
    if size < LIGHT or not _can_drive(cluster, size, most):
        return None
    heavy = os.path.join(place, "heavy")
    split_bundle(folder, heavy)
    node, path = upload(cluster, heavy, new_folder)
    note_heavy_part(folder, path)
    return node, path


def _can_drive(cluster: Cluster, size: int, most: int) -> bool:
    """Whether this machine reaches more than the dashboard, which takes at most `most` bytes. InputError where `size` is more."""
    try:
        cluster.join(from_outside=True)
    except RemoteError as error:
        if size < most:
            return False
        takes = f"the run takes {size_text(size)} along; the dashboard takes {size_text(most)}"
        raise InputError(
            f"{takes}, and by other ways {error.message}",
            where=error.where,
            hint=f"open port {CLIENT_PORT} of the head, submit from one of its machines, or gitml push to a remote store first",
        ) from error
    return True


class _SubmitterSession(RaySession):
    """The clusters of a run as the machine that submits it sees them.

    What is installed there can be asked by a machine that may drive the cluster; others submit without knowing, and the cluster
    then plans by itself.
    """

    def environment(self, target: Target, request: Resources, query: EnvironmentQuery) -> Environment:
        try:
            return super().environment(target, request, query)
        except RemoteError:
            unknown = {"kind": "not known here", "target": target.name, "asked": list(query.programs)}
            return environment_of(unknown, query.source)


def _refuse_unsatisfiable(cluster: Cluster, loaded: Loaded, plan: Plan, on: str | None) -> None:
    wanted = [name for name, decision in plan.decisions.items() if decision.kind != REUSE]
    machines = cluster.machines()
    for name, target in targets_of(loaded.graph, wanted, on, loaded.config).items():
        if target.name == cluster.target.name:
            step = loaded.graph.steps[name]
            shortage = cluster.shortage(target.request(step.settings.resources), step.settings.gang[0], machines)
            if shortage is not None and not shortage.may_be_added:
                message = f"step {name!r} can never run there: it asks for {shortage.words}"
                raise InputError(message, where=cluster.where, hint="gitml targets shows what there is")
