"""Which variables hold credentials: by name, by passwords in URLs, by keys that look random; others are left alone."""

from __future__ import annotations

import pytest

from gitml.core.secrets.credential_names import credentials_in

VALUE = "aX3kQ9zT7mLw2PbN"


@pytest.mark.parametrize(
    "name",
    """AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN HF_TOKEN GITHUB_TOKEN CI_JOB_TOKEN token MY_SECRET SECRET_KEY_BASE DJANGO_SECRET_KEY
    PGPASSWORD DB_PASSWORD PASSWORD_PROD MYSQL_PWD SMTP_PASS OPENAI_API_KEY STRIPE_APIKEY SSH_PASSPHRASE GITLAB_PAT REGISTRY_CREDENTIALS
    GITML_SECRET_DB_URL DEPLOY_KEY""".split(),
)
def test_names_that_say_so(name: str) -> None:
    assert credentials_in({name: VALUE}) == {VALUE: name}


@pytest.mark.parametrize(
    "name",
    """PATH PWD OLDPWD AWS_ACCESS_KEY_ID TOKENIZERS_PARALLELISM MAX_TOKENS RAY_AUTH_TOKEN_PATH AWS_WEB_IDENTITY_TOKEN_FILE TOKEN_TTL
    PASSWORD_FILE SECRET_NAME GIT_ASKPASS BYPASS_CACHE COMPASS MONKEY_MODE TOKEN_BUDGET PASS_RATE KEYBOARD""".split(),
)
def test_names_that_only_sound_like_it(name: str) -> None:
    assert credentials_in({name: VALUE}) == {}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HF_TOKEN", "short"),
        ("DB_PASSWORD", "postgres"),
        ("DB_PASSWORD", "12345678"),
        ("SORT_KEY", "created-at-descending"),
        ("CACHE_KEY", "linux-py311-3f2a9b7c1d"),
        ("LICENSE_KEY", "aaaaaaaaaaaaaaaa1111"),
    ],
)
def test_values_that_are_words_or_no_secret(name: str, value: str) -> None:
    assert credentials_in({name: value}) == {}


def test_passwords_in_urls_as_written_and_decoded() -> None:
    found = credentials_in({"HTTPS_PROXY": "http://me:pa%20ss%2Fword9@proxy:3128", "ALL_PROXY": "socks5://proxy:1080"})
    assert set(found) == {"pa%20ss%2Fword9", "pa ss/word9"}
