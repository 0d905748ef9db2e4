"""`gitml env push`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gitml.cli.commands.environment.progress import BuildLine, stop_requests
from gitml.cli.pipeline_arguments import PipelineArguments, pipeline_arguments
from gitml.cli.session import ALWAYS, Session, verb
from gitml.cli.text.format import count, size
from gitml.cli.text.terminal import safe
from gitml.cli.transfers import transfer_line

if TYPE_CHECKING:
    from gitml.core.model.events import Event
    from gitml.transfer.images import PushedImage


@verb("push", json=True, reaches=ALWAYS)
@pipeline_arguments
@click.option("--to", "stores", metavar="REMOTE", multiple=True, help="Only this remote store; may be repeated.")
def push(session: Session, wanted: PipelineArguments, stores: tuple[str, ...]) -> int:
    """Send the images of a pipeline's steps to the remote stores of `gitml.yaml`, for machines that reach no registry.

    Only what a store lacks is sent. What of an image is not on this machine is fetched from its registry before. A machine that
    needs an image asks the stores first.
    """
    from gitml.analysis.environment_push import images_of, push_environments
    from gitml.cli.errors import DONE
    from gitml.cli.interrupts import InterruptHandler
    from gitml.core.model.events import Transferring
    from gitml.execute.environments.build_control import BuildControl
    from gitml.execute.process import StoppedError
    from gitml.store.remote.transfer.progress import TransferStoppedError

    loaded, steps = wanted.load(session)
    images = images_of(session.ws, loaded, steps)
    names = [one.image.name.short() for one in images]
    if not images:
        session.result({"images": [], "stores": []}, "no step runs in an image")
        return DONE
    progress = BuildLine(session)
    done: list[PushedImage] = []

    def report(words: str) -> None:
        progress.report("images", words)

    def emit(event: Event) -> None:
        if isinstance(event, Transferring):
            progress.report("images", transfer_line(event))

    interrupts = InterruptHandler(quiet=session.quiet, message="stopping; what was moved stays")
    with interrupts as handler, stop_requests(handler.stop) as asked:
        try:
            for one in push_environments(session.ws, images, stores, emit, handler.stop, BuildControl(asked, report)):
                progress.clear()
                done.append(one)
                session.show(_line(one, names))
        except (StoppedError, TransferStoppedError):
            return handler.exit_code
        finally:
            progress.clear()
    described = [
        {"image": str(one.image.name), "manifest": one.image.manifest, "steps": list(one.steps)} for one in images
    ]
    session.result({"images": described, "stores": [one._asdict() for one in done]})
    return DONE


def _line(one: PushedImage, names: list[str]) -> str:
    what = safe(names[0]) if len(names) == 1 else count(len(names), "image")
    if not one.sent:
        return f"{safe(one.remote)}: {what} was there"
    return (
        f"{safe(one.remote)}: {what} sent: {count(one.sent, 'object')} ({size(one.bytes)}), {one.there:,} there already"
    )
