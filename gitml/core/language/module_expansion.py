"""Pipelines that use modules: checks each use against the module's interface, and puts the module in the step's place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from gitml.core.kinds.port_kinds import is_directory
from gitml.core.language.diagnostics import Diagnostic, SpecError, nearest
from gitml.core.language.expression import Ref, Template, refs_in
from gitml.core.language.params import Param, part_of, problem_with_value
from gitml.core.language.spec import ModuleSpec, Pipeline, Step
from gitml.core.language.validate import checkout_problem, listed_by, used_by
from gitml.core.model.action import Scalar
from gitml.core.model.guarantees import CUT, stricter
from gitml.core.model.step_settings import ALONE, TOP


def with_modules(pipeline: Pipeline, modules: Mapping[str, ModuleSpec]) -> Pipeline:
    """The Pipeline with the ports of its modules known; SpecError with everything that does not fit an interface."""
    steps = {name: _with_ports(step, modules) for name, step in pipeline.steps.items()}
    pipeline = replace(pipeline, steps=steps)
    problems = [
        Diagnostic(
            step.place.file or pipeline.path, step.place.line, step.place.column, f"step {step.name!r}: {problem}"
        )
        for step in steps.values()
        for problem in [*_misfits(step, pipeline, modules), *_missing_ports(step, pipeline)]
    ]
    for named in pipeline.checkout:
        problem = checkout_problem(steps[named.step], named.port)
        if problem:
            problems.append(
                Diagnostic(named.place.file or pipeline.path, named.place.line, named.place.column, problem)
            )
    if problems:
        raise SpecError(problems)
    return pipeline


def _with_ports(step: Step, modules: Mapping[str, ModuleSpec]) -> Step:
    if step.use is None:
        return step
    module, settings = modules[step.use.module], step.settings
    return replace(
        step,
        shell=module.shell,
        outputs=module.outputs,
        env=module.env,
        settings=settings._replace(
            environment=module.settings.environment,
            workdir=TOP,
            resources=settings.resources if step.use.own_resources else module.settings.resources,
            strict=settings.strict or module.settings.strict,
            network=stricter(settings.network, module.settings.network),
        ),
    )


def _misfits(step: Step, pipeline: Pipeline, modules: Mapping[str, ModuleSpec]) -> list[str]:
    if step.use is None:
        return []
    module, name = modules[step.use.module], step.use.module
    found = []
    bound = dict(step.use.inputs)
    for port, template in bound.items():
        if port not in module.inputs:
            found.append(f"module {name} has no input {port!r}{nearest(port, module.inputs)}")
            continue
        given = _kind_of(template, pipeline)
        if given and not fits(given, module.inputs[port].kind):
            found.append(f"input {port!r} of module {name} is {module.inputs[port].kind}, not {given} ({template[0]})")
    for port, declared in module.inputs.items():
        if port not in bound and not declared.optional:
            found.append(f"module {name} needs input {port!r} ({declared.kind})")
    given_params = dict(step.use.params)
    for param, value in given_params.items():
        if param not in module.params:
            found.append(f"module {name} has no parameter {param!r}{nearest(param, module.params)}")
        elif problem := _param_problem(module.params[param], value, pipeline):
            found.append(f"module {name}: {problem}")
    for param, declared_param in module.params.items():
        if param not in given_params and declared_param.default is None:
            found.append(f"module {name} needs parameter {param!r} ({declared_param.type})")
    if module.settings.network == CUT and step.settings.gang != ALONE:
        found.append(f"module {name} says network: none, without which several processes can't reach each other")
    return found


def fits(given: str, wanted: str) -> bool:
    """Whether a port of kind `given` can fill an input of kind `wanted`: every port that is a file is a ``file``."""
    return given == wanted or (wanted == "file" and not is_directory(given))


def words_without(words: tuple[Template, ...], missing: Callable[[Ref], bool]) -> tuple[Template, ...]:
    """A command without what only names what is missing: inputs that are not bound, parameters that do not count.

    A word with such an expression in it goes; when it is nothing else, an option just before it (``--rules``) goes too.
    """
    kept: list[Template] = []
    for word in words:
        if not any(isinstance(ref, Ref) and missing(ref) for ref in word):
            kept.append(word)
        elif len(word) == 1 and kept and is_option(kept[-1]):
            kept.pop()
    return tuple(kept)


def is_option(word: Template) -> bool:
    """Whether a word is an option such as ``--rules``, whose value is the word behind it."""
    text = word[0] if len(word) == 1 else None
    return isinstance(text, str) and text.startswith("-") and text.strip("-") != "" and "=" not in text


def _kind_of(template: Template, pipeline: Pipeline) -> str:
    """The kind of what an expression stands for, empty when only the commit determines it."""
    ref = template[0] if template else None
    if not isinstance(ref, Ref) or ref.space != "steps" or ref.name not in pipeline.steps:
        return ""
    port = pipeline.steps[ref.name].port(ref.port)
    return port.kind if port else ""


def _param_problem(param: Param, value: Scalar | Template, pipeline: Pipeline) -> str | None:
    if not isinstance(value, tuple):
        return problem_with_value(param, value)
    return _secret_problem(param, value, pipeline) or _type_problem(param, value, pipeline)


def _secret_problem(param: Param, template: Template, pipeline: Pipeline) -> str | None:
    """A secret is handed on whole, and only to what keeps it one."""
    used = [ref.name for ref in refs_in((template,)) if ref.space == "params" and ref.name in pipeline.params]
    secret = [name for name in used if pipeline.params[name].secret]
    if param.secret and not (len(template) == 1 and secret):
        return f"parameter {param.name!r} is secret: give it a secret parameter of the pipeline, ${{{{ params.NAME }}}}"
    if secret and not param.secret:
        return (
            f"params.{secret[0]} is secret, and parameter {param.name!r} is not: say secret: true of it in module.yaml"
        )
    return None


def _type_problem(param: Param, template: Template, pipeline: Pipeline) -> str | None:
    """A pipeline's parameter handed on must be of a type the module's can hold; text around it makes it text."""
    ref = template[0] if len(template) == 1 else None
    if not isinstance(ref, Ref):
        return None if param.type == "str" else f"parameter {param.name!r} must be {param.type}, not text"
    if ref.space != "params" or ref.name not in pipeline.params:
        return None
    given = part_of(pipeline.params, ref.full_path)[0].type
    if given == param.type or (given, param.type) == ("int", "float"):
        return None
    return f"parameter {param.name!r} must be {param.type}, not {given} (params.{ref.name})"


def _missing_ports(step: Step, pipeline: Pipeline) -> list[str]:
    """Uses of outputs that a module turned out not to have."""
    found = []
    for ref in (*refs_in(step.words + used_by(step)), *listed_by(step)):
        other = pipeline.steps.get(ref.name) if ref.space == "steps" else None
        if other is not None and other.use is not None and other.port(ref.port) is None:
            ports = [port.name for port in other.outputs]
            found.append(f"module {other.use.module} has no output {ref.port!r}{nearest(ref.port, ports)}")
    for ref in listed_by(step):
        port = pipeline.steps[ref.name].port(ref.port)
        if port is not None and is_directory(port.kind):
            found.append(f"{ref} is a {port.kind}, and a list is a file of JSON")
    return found
