"""Options that several commands share, and that reach each of them as one value."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

Body = Callable[..., Any]


def bundle(name: str, make: Callable[..., Any], *decorators: Callable[[Body], Body]) -> Callable[[Body], Body]:
    """Adds the arguments and options of `decorators`, in their order; the command gets as `name` what `make` makes of them."""

    def decorate(body: Body) -> Body:
        @functools.wraps(body)
        def bound(*args: Any, **options: Any) -> Any:
            values = {key: options.pop(key) for key in keys}
            return body(*args, **options, **{name: make(**values)})

        own = list(getattr(body, "__click_params__", ()))
        bound.__click_params__ = []  # type: ignore[attr-defined]
        decorated: Any = bound
        for decorator in reversed(decorators):
            decorated = decorator(decorated)
        keys = [str(parameter.name) for parameter in decorated.__click_params__]
        decorated.__click_params__ = own + decorated.__click_params__  # click keeps them last first
        return decorated  # type: ignore[no-any-return]

    return decorate
