"""`gitml reproduce`."""

from __future__ import annotations

import click

from gitml.cli.errors import DONE, FAILED
from gitml.cli.options import secret_option
from gitml.cli.pipeline_arguments import prompt_secret
from gitml.cli.session import ALWAYS, Session, as_data, verb
from gitml.cli.text.terminal import paint, safe


@verb("reproduce", json=True, reaches=ALWAYS)
@click.argument("run", required=False, default="latest")
@click.option("--allow-disabled", is_flag=True, help="Use modules that were disabled since; it is recorded.")
@click.option(
    "--caches", is_flag=True, help="Let steps use their caches of this machine; they begin with empty ones else."
)
@secret_option
def command(session: Session, run: str, allow_disabled: bool, caches: bool, secrets: tuple[str, ...]) -> int:
    """Run what RUN recorded again, every step in a clean sandbox, and compare output by output.

    Exits with 0 when all is identical and with 1 where something differs, or where an environment can't be made any more, which
    is said apart; the verdict is recorded beside the run.
    """
    from gitml.analysis.difference_causes import USUAL_CAUSES
    from gitml.analysis.reproduce import find_original, reproduce
    from gitml.cli.interrupts import InterruptHandler
    from gitml.cli.reporters.reporter import reporter_for
    from gitml.engine.planning.load import SecretPrompt
    from gitml.errors import InputError

    ws = session.recovered_ws
    found = find_original(ws, run)
    if found.live is not None:
        raise InputError(f"run {found.run.id[:8]} is still going on", hint=f"gitml logs {found.run.id[:8]} -f")
    prompt = SecretPrompt(secrets, prompt_secret)
    with InterruptHandler(quiet=session.quiet) as handler, reporter_for(session) as emit:
        try:
            verdict = reproduce(
                ws, found.run, emit, handler.stop, allow_disabled=allow_disabled, caches=caches, prompt=prompt
            )
        except InputError:
            if handler.stop.level:
                return handler.exit_code
            raise
    session.result(
        {
            "run": verdict.run.id,
            "original": verdict.original.id,
            "identical": verdict.identical,
            "differences": as_data(verdict.differences),
            "notes": list(verdict.notes),
            "unmade": [{"step": step, "error": error} for step, error in verdict.unmade],
        }
    )
    for item in verdict.differences:
        name = f"{item.step}.{item.port}" if item.port else item.step
        place = f" {item.path}" if item.path else ""
        session.show(f"{paint('differs', 'red')}  {safe(name)}{safe(place)}  {safe(item.what)}")
    session.remark(*map(safe, verdict.notes))
    compared = next((item for item in verdict.differences if item.port), None)
    if compared is not None:
        port = f"{compared.step}.{compared.port}"
        both = [f"gitml checkout {run.id[:8]}:{port} {to}" for run, to in ((verdict.original, "a"), (verdict.run, "b"))]
        session.remark(USUAL_CAUSES, f"to compare: {safe('; '.join(both))}")
    for step, why in verdict.unmade:
        session.show(
            f"{paint('not known', 'yellow')}  {safe(step)}  its environment can't be made any more: {safe(why)}"
        )
    if verdict.unmade and not verdict.differences:
        session.show(f"nothing differs, but run {verdict.original.id[:8]} could not be made again whole")
        return FAILED
    ids = f"run {verdict.run.id[:8]} gave" if verdict.identical else f"run {verdict.run.id[:8]} did not give"
    word = paint("identical", "green") if verdict.identical else paint("not identical", "red")
    session.show(f"{word}: {ids} the outputs of run {verdict.original.id[:8]}")
    return DONE if verdict.identical else FAILED
