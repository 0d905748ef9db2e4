"""What services say when they refuse, as one line that says what is wrong and no more."""

from __future__ import annotations

from gitml.errors import TrustError
from gitml.store.remote.backends.object_storage import is_past_end, remote_error, without_secrets


def test_what_azure_adds_for_its_own_log_is_left_out() -> None:
    said = (
        "The specified container does not exist.\nRequestId:5b453660-55ad\nTime:2026-11-23T02:11:23.948Z\n"
        'ErrorCode:ContainerNotFound\nContent: <?xml version="1.0"?><Error><Code>ContainerNotFound</Code></Error>'
    )
    assert without_secrets(said) == "The specified container does not exist."


def test_a_connection_string_that_is_no_such_thing_is_about_credentials() -> None:
    for said in (
        "unable to connect to account for Connection string is either blank or malformed.",
        "Invalid base64-encoded string: number of data characters (13) cannot be 1 more than a multiple of 4",
    ):
        told = remote_error(ValueError(said), "az://box/x", "az")
        assert isinstance(told, TrustError), told
        assert "AZURE_STORAGE_CONNECTION_STRING" in str(told.hint)


def test_a_profile_that_is_not_there_is_about_credentials() -> None:
    told = remote_error(ValueError("The config profile (nosuch) could not be found"), "s3://box/x", "s3")
    assert isinstance(told, TrustError), told
    assert "AWS_PROFILE" in str(told.hint)


def test_digits_of_an_address_or_a_digest_say_nothing_of_a_range() -> None:
    assert not is_past_end(FileNotFoundError("http://127.0.0.1:41602/storage/v1/b/box/o/x"))
    assert not is_past_end(OSError("no answer of 127.0.0.1:41602"))
    assert not is_past_end(FileNotFoundError("/416/not satisfiable"))
    answered = OSError("Requested range not satisfiable")
    assert is_past_end(answered)
    refused = RuntimeError("no")
    refused.code = 416  # type: ignore[attr-defined]
    assert is_past_end(refused)
