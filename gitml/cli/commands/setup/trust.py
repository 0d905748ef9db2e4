"""`gitml trust`: what this user lets the repository do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from gitml import layout
from gitml.cli.session import DefaultGroup, Session, verb
from gitml.cli.text.format import ago, count
from gitml.cli.text.terminal import paint, safe
from gitml.consent.kinds import PLACES, RUN
from gitml.errors import InputError

if TYPE_CHECKING:
    from gitml.analysis.named_places import PlaceStatus
    from gitml.consent.consent import Consent
    from gitml.core.config.places import Place

_KINDS = (PLACES, RUN)
_kinds_argument = click.argument("kinds", metavar="[places|run]...", nargs=-1)


@click.group("trust", cls=DefaultGroup, default="list")
def command() -> None:
    """Show and change what this repository may do: use the places that its files name, and run its steps.

    Of a repository that was cloned or has a remote nothing is used and nothing runs before its user has allowed it; one
    without remotes is its owner's. What is allowed is kept in ~/.config/gitml/trust.json, never in the repository.
    """


@verb("list", of=command, json=True)
@_kinds_argument
def list_(session: Session, kinds: tuple[str, ...]) -> None:
    """List the places that the repository names and whether it may use them, and whether its steps may run.

    `gitml trust places` and `gitml trust run` list one kind and, at a terminal, ask about what is not allowed.
    """
    from gitml.analysis.named_places import places_of

    _check(kinds)
    ws = session.ws
    places = places_of(ws) if PLACES in kinds or not kinds else []
    if session.json:
        session.show_json(_as_data(ws.consent, places))
        return
    if RUN in kinds or not kinds:
        session.show(f"run     {_run_words(ws.consent, ws.now())}")
    for item in places:
        word = paint("allowed", "green") if item.allowed else paint("not allowed", "yellow")
        gone = "" if item.named else "  (named no more)"
        session.show(f"place   {word}  {safe(item.place.words)}{gone}")
    if not places and (PLACES in kinds or not kinds):
        session.show("place   none is named")
    _offer(session, kinds, [item.place for item in places if not item.allowed])


def _offer(session: Session, kinds: tuple[str, ...], new: list[Place]) -> None:
    """Asks at a terminal about what is not allowed; elsewhere prints how to allow it."""
    from gitml.analysis.named_places import steps_of
    from gitml.consent.consent import where_from
    from gitml.consent.questions import Question

    ws = session.ws
    runs = ws.consent.may_run()
    ask = ws.consent.ask if kinds else None
    if ask is not None:
        origin = where_from(ws.location)
        if PLACES in kinds and new and ask(Question(PLACES, origin, tuple(new))):
            ws.consent.allow(new)
        if RUN in kinds and not runs and ask(Question(RUN, origin, (), steps_of(ws))):
            ws.consent.allow((), run=True)
        return
    missing = [*([PLACES] if new else []), *([RUN] if not runs and (RUN in kinds or not kinds) else [])]
    if missing:
        session.note(f"next: {'; '.join(f'gitml trust allow {kind}' for kind in missing)}")


@verb("allow", of=command, json=True)
@click.argument("kind", metavar="places|run")
@click.argument("names", metavar="[NAME]...", nargs=-1)
def allow(session: Session, kind: str, names: tuple[str, ...]) -> None:
    """Allow the repository's steps to run, or the places that it names now: all, or those of these names.

    A place whose URL, endpoint, token file or other detail changes has to be allowed again.
    """
    _check([kind])
    consent = session.ws.consent
    if kind == RUN:
        _refuse_names(names)
        consent.allow((), run=True)
        session.note("the steps of this repository may run")
        places: list[PlaceStatus] = []
    else:
        from gitml.analysis.named_places import places_of

        places = _chosen([item for item in places_of(session.ws) if item.named], names)
        consent.allow([item.place for item in places])
        for item in places:
            session.note(f"allowed: {safe(item.place.words)}")
        if not places:
            session.note("the repository names no place")
    session.result(_as_data(consent, [item._replace(allowed=True) for item in places]))


@verb("revoke", of=command, json=True)
@click.argument("kind", metavar="places|run")
@click.argument("names", metavar="[NAME]...", nargs=-1)
def revoke(session: Session, kind: str, names: tuple[str, ...]) -> None:
    """Take back what was allowed: that steps run, or places, all or those of these names."""
    _check([kind])
    consent = session.ws.consent
    if kind == RUN:
        _refuse_names(names)
        gone = consent.revoke(RUN)
        phrase = "the steps of this repository may not run any more" if gone else "it was not allowed"
    else:
        from gitml.analysis.named_places import PlaceStatus

        granted = [PlaceStatus(place, True) for place, _ in consent.granted.places.values()]
        gone = consent.revoke(PLACES, [item.place.identity for item in _chosen(granted, names, every=True)])
        phrase = f"{count(gone, 'place')} not allowed any more" if gone else "no place was allowed"
    session.result({"revoked": gone})
    session.remark(phrase)
    if consent.is_owners:
        session.note("this repository has no remote, so it is its owner's: nothing is asked about it")


def _check(kinds: tuple[str, ...] | list[str]) -> None:
    for kind in kinds:
        if kind not in _KINDS:
            from gitml.core.language.diagnostics import nearest

            raise InputError(f"no such kind of trust: {kind[:40]!r}{nearest(kind, _KINDS)}", hint="it is places or run")


def _refuse_names(names: tuple[str, ...]) -> None:
    if names:
        raise InputError("steps are allowed to run all together", where=names[0], hint="leave the name out")


def _chosen(places: list[PlaceStatus], names: tuple[str, ...], *, every: bool = False) -> list[PlaceStatus]:
    """The places of these names or URLs; InputError for a name that several have, unless `every` one of them is meant."""
    known = [item.place.name for item in places]
    urls = {item.place.url for item in places}
    for name in names:
        if name not in known and name not in urls:
            from gitml.core.language.diagnostics import nearest

            raise InputError(f"no place is called {name[:60]!r}{nearest(name, known)}", hint="gitml trust places")
        if not every and known.count(name) > 1:
            several = " and ".join(safe(item.place.words) for item in places if item.place.name == name)
            raise InputError(f"more than one place is called {name}: {several}", hint="name them by their URLs")
    return [item for item in places if not names or item.place.name in names or item.place.url in names]


def _run_words(consent: Consent, now: float) -> str:
    granted = consent.granted.run
    if RUN in consent.given:
        return f"allowed by {layout.TRUST_VARIABLE}"
    if granted is not None:
        return f"{paint('allowed', 'green')} {ago(granted, now)}"
    if consent.is_owners:
        return "allowed: the repository has no remote, so it is its owner's"
    return paint("not allowed", "yellow")


def _as_data(consent: Consent, places: list[PlaceStatus]) -> dict[str, Any]:
    granted = consent.granted
    return {
        "repository": granted.path,
        "owners": consent.is_owners,
        "run": consent.may_run(),
        "places": [
            {
                **item.place._asdict(),
                "details": dict(item.place.details),
                "allowed": item.allowed,
                "named": item.named,
            }
            for item in places
        ],
    }
