"""What a step must not show: what it is passed from the machine, secret parameters, and credentials of the machine.

A variable that `env` names without a value is taken for secret, unless its value is short, a plain word or a path that is there.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from gitml.core.model.action import Action
from gitml.core.secrets.mask import Mask
from gitml.redaction import credentials_of, is_secret, registered_secrets, secret_in_file


def mask_of(action: Action, env: Mapping[str, str], machine: Mapping[str, str], more: Iterable[str] = ()) -> Mask:
    """The Mask for what a step with the environment `env` writes on a machine whose own is `machine`, and for `more`."""
    passed = [env[name] for name, value in action.env if value is None and is_secret(env.get(name, ""))]
    usual = secret_in_file(os.path.join(machine.get("HOME") or "/", ".ray/auth_token"))
    own = {**credentials_of(machine), **credentials_of(env)}
    return Mask([*passed, *own, *registered_secrets(), *([usual] if usual else []), *more])
