"""What a kind of executors must provide: `ExecutorKind`, and `TargetSession` for the targets that one run uses."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from gitml.core.config.places import Place
from gitml.core.config.project import Target
from gitml.core.model.environment import Environment
from gitml.core.model.graph import GraphStep
from gitml.core.model.protocols import Executor
from gitml.core.model.resources import Machine, Resources
from gitml.core.planner.plan import PartProblem
from gitml.errors import GitmlError, InputError
from gitml.execute.environments.software import EnvironmentQuery
from gitml.workspace import Workspace

if TYPE_CHECKING:
    from gitml.core.language.fields import Fields

NodeRequest = tuple[Resources, int]  # what a step requests of a machine, and of how many machines


class TargetState(NamedTuple):
    """A target as it is now. `about` describes one that has no `address`; `version` is that of the `software` that runs it.

    `open` says that a cluster lets anybody in. Unless `free_is_known`, all of a machine stands for what is free there.
    `error` is why nothing is known of it.
    """

    name: str
    about: str = ""
    address: str = ""
    software: str = ""
    version: str = ""
    open: bool = False
    machines: tuple[Machine, ...] = ()
    free_is_known: bool = True
    error: GitmlError | None = None


class TargetSession(ABC):
    """The targets of one kind, as one plan or run uses them. `waits` are notes for people on what its steps wait for."""

    def __init__(self) -> None:
        self.waits: list[str] = []

    def request(self, target: Target, step: GraphStep) -> Resources:
        """What a step requests of a machine of the target."""
        return target.request(step.settings.resources)

    def environment_scope(self, target: Target, request: Resources) -> object:
        """What answers of `environment` depend on beside the query: they are shared by steps for which this is equal."""
        return target.name, repr(request)

    @abstractmethod
    def environment(self, target: Target, request: Resources, query: EnvironmentQuery) -> Environment:
        """The environment of steps with this request. InputError where there is none, NotInspectedError while unknown."""

    def problem(
        self, target: Target, step: GraphStep, preflight: Callable[[], PartProblem | None], *, remembered: bool
    ) -> PartProblem | None:
        """What is sure to keep a step from running there. `preflight` looks for what keeps it from starting on this machine.

        Nothing is asked over a network; if `remembered`, what a target answered last counts.
        """
        return None

    def prepare(self, target: Target, requests: Mapping[str, NodeRequest]) -> bool:
        """Connects to the target before the steps with these requests run. InputError for one that it can never fulfil.

        Whether its environments are others than `environment` gave, so that the steps must be planned again.
        """
        return False

    @abstractmethod
    def executor(self, target: Target, run: str, folder: str) -> Executor:
        """A new executor for the steps of a run; `folder` is the live folder of the run."""

    def abandon(self) -> None:  # noqa: B027 - many have nothing to leave
        """The target is lost: its session ends without a farewell that would wait for an answer."""


class ExecutorKind(ABC):
    """A kind of executors. `name` is the key that selects it in a target of `gitml.yaml`."""

    name: str

    @abstractmethod
    def parse(self, fields: Fields, name: str, pairs: Mapping[str, Any]) -> Any:
        """The options of a target from its keys; mistakes are reported to `fields`."""

    @abstractmethod
    def session(self, ws: Workspace, jobs: int | None) -> TargetSession:
        """A session for one plan or run; `jobs` is the most steps at once on this machine, None: as many as it has CPUs."""

    def place(self, target: Target) -> Place | None:
        """What a person must allow before the target is used; None where it names nothing outside this machine."""
        return None

    def secret_files(self, target: Target) -> Sequence[str]:
        """Files whose contents are masked wherever steps write them."""
        return ()

    def submission_refusal(self, target: Target) -> InputError | None:
        """Why no run can be submitted to the target; None when one can."""
        return InputError(f"target {target.name!r} takes no submissions", where="--on", hint="name a cluster")

    def state(self, ws: Workspace, target: Target) -> TargetState:
        """The target as it is now."""
        return TargetState(target.name, about=f"a target of the kind {self.name}")
