"""Values of secret parameters: from variables, or asked for. They are kept in memory, and everything else knows their seals."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from gitml.core.language.diagnostics import nearest
from gitml.core.language.params import Param, ParamError
from gitml.core.model.graph import Graph, GraphStep
from gitml.core.planner.plan import PartProblem
from gitml.core.secrets.seals import is_seal, problem_with_secret, seal
from gitml.errors import InputError
from gitml.execute.environments.variables import variables_for
from gitml.workspace import Workspace

Ask = Callable[[str], str | None]
"""Asks a person for the value of the parameter of that name; None when there is nobody to ask."""


def seals_of(ws: Workspace, params: Mapping[str, Param]) -> dict[str, str]:
    """The seals of the secret parameters that are given here; their values are in ``ws.secrets`` from now on."""
    found = {}
    for name, variable in variables_of([name for name, param in params.items() if param.secret]).items():
        value = ws.environ.get(variable)
        if not value:
            continue
        problem = problem_with_secret(name, value)
        if problem:
            raise ParamError(problem, where=variable)
        found[name] = seal(ws.salt, name, value)
        ws.keep_secret(found[name], value)
    return found


def ask_for(ws: Workspace, params: Mapping[str, Param], wanted: Sequence[str], ask: Ask) -> None:
    """Asks for secret parameters that are `wanted` and have no value yet; InputError for one that can't be had, or is none."""
    names = [name for name, param in params.items() if param.secret]
    variables = variables_of(names)
    for name in dict.fromkeys(wanted):
        if name not in variables:
            shown = name.partition("=")[0]
            if shown in variables:
                hint = f"export {variables[shown]} before gitml is called, or give the name alone to be asked"
                raise ParamError(
                    "a secret is never written on the command line", where=f"--secret {shown}=…", hint=hint
                )
            what = "is not secret: it is given by -S" if shown in params else f"is unknown{nearest(shown, names)}"
            raise ParamError(f"parameter {shown[:80]!r} {what}", where="--secret")
        if ws.environ.get(variables[name]):
            continue
        value = ask(name)
        if not value:
            raise ParamError(
                f"there is no value for the secret parameter {name!r}",
                where=f"--secret {name}",
                hint=f"export {variables[name]} before gitml is called, or call it from a terminal to be asked",
            )
        problem = problem_with_secret(name, value)
        if problem:
            raise ParamError(problem, where=f"--secret {name}")
        ws.environ[variables[name]] = value


def problem_with_step(ws: Workspace, graph: Graph, step: GraphStep) -> PartProblem | None:
    """What keeps a step from running whose secret parameters are not all given here."""
    for name, sealed in step.secrets:
        if sealed not in ws.secrets:
            outer = next((param for param, value in graph.params.items() if value == sealed), name)
            variable = variables_of([param for param, value in graph.params.items() if is_seal(value)]).get(outer, "")
            hint = f"export {variable} before gitml is called, or --secret {outer} to be asked"
            return PartProblem(f"secret parameter {outer!r} is not given", hint)
    return None


def values_for(ws: Workspace, secrets: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The values of secret parameters, by their seals. InputError for one that is not given."""
    found = {}
    for name, sealed in secrets:
        if sealed not in ws.secrets:
            raise InputError(f"secret parameter {name!r} is not given")
        found[sealed] = ws.secrets[sealed]
    return found


def variables_of(names: Iterable[str]) -> dict[str, str]:
    """``GITML_SECRET_<NAME>`` of each secret parameter of a pipeline, in the order in which they are declared."""
    return variables_for("SECRET", names)
