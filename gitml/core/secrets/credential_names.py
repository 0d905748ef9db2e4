"""Which environment variables hold a credential: known by their names, and by passwords in URLs."""

from __future__ import annotations

import math
import re
import urllib.parse
from collections.abc import Iterable, Mapping

from gitml import layout

SHORTEST = 8  # characters of a value that is taken for a credential because of the name it has
_NAME = re.compile(
    r"(?:\A|_)(?:TOKEN|PASS|PWD|PAT|APIKEY|API_KEY|ACCESS_KEY|PRIVATE_KEY|ACCOUNT_KEY|AUTH_KEY|ENCRYPTION_KEY|SIGNING_KEY)(?:_[0-9]+)?\Z"
    r"|(?:\A|_)(?:SECRETS?|PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS?)(?:_[A-Z0-9_]+)?\Z"
    r"|(?:PASSWORD|SECRET|TOKEN|APIKEY)\Z"  # PGPASSWORD
)
# what such a name says that is not the credential itself
_ABOUT = re.compile(
    r"_(?:ID|FILE|PATH|DIR|URL|URI|HOST|PORT|NAME|USER|TYPE|TTL|EXPIRY|EXPIRATION|EXPIRES|EXPIRES_AT|TIMEOUT|LENGTH|MODE|"
    r"ENDPOINT|REGION|VERSION|PROVIDER|BACKEND|ARN|COUNT|SIZE|LIMIT|ENABLED|COMMAND|HELPER)\Z|\A(?:OLD)?PWD\Z|ASKPASS\Z"
)
_USERINFO = re.compile(r"://[^\s/:@]*:([^\s/]+)@")
_WORD = re.compile(r"[A-Za-z]{1,10}|[0-9.]{1,8}")  # a word, a number, a version
_LETTERS = re.compile(r"[A-Za-z0-9+/]{16,}={0,2}|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_RANDOM = 3.0  # bits a character, of a value that is no name and no word


def credentials_in(environ: Mapping[str, str]) -> dict[str, str]:
    """Credentials among variables: each value and the name of the variable that holds it."""
    found: dict[str, str] = {}
    for name, value in environ.items():
        for credential in _of(name, value):
            found.setdefault(credential, name)
    return found


def has_credential_name(name: str) -> bool:
    """Whether a variable of this name holds a credential, whatever it looks like."""
    upper = name.upper()
    if upper.startswith(layout.SECRET_PREFIX):
        return True
    return _NAME.search(upper) is not None and _ABOUT.search(upper) is None


def _of(name: str, value: str) -> Iterable[str]:
    if "://" in value:
        for match in _USERINFO.finditer(value):
            for password in {match[1], urllib.parse.unquote(match[1])}:
                if len(password) >= SHORTEST and not _WORD.fullmatch(password):
                    yield password
        return
    if len(value) < SHORTEST or _WORD.fullmatch(value):
        return
    if has_credential_name(name) or (name.upper().endswith("KEY") and _is_random(value)):
        yield value


def _is_random(value: str) -> bool:
    """Whether a value looks as if it was drawn by lot."""
    if not _LETTERS.fullmatch(value) or not re.search("[0-9]", value) or value.isdigit():
        return False
    shares = [value.count(char) / len(value) for char in set(value)]
    return -sum(share * math.log2(share) for share in shares) >= _RANDOM
