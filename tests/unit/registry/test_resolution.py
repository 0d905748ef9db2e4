"""Which version is meant: every rule, and every refusal with what it tells."""

from __future__ import annotations

import pytest

from gitml.errors import InputError


@pytest.fixture
def three(here):
    """1.0.0, 1.1.0 (the default), 2.0.0."""
    here.publish("1.0.0")
    here.publish("1.1.0", default=True)
    here.publish("2.0.0")
    return here


def meant(shelf, use, **options):
    return shelf.registry.resolve(use, **options).version


def refusal(shelf, use, **options):
    with pytest.raises(InputError) as caught:
        shelf.registry.resolve(use, **options)
    return f"{caught.value.message} / {caught.value.hint}"


def test_no_requirement_means_the_default(three):
    assert meant(three, "m") == "1.1.0"


def test_without_a_default_the_highest_active_version_is_meant(three):
    three.registry.disable("m", "1.1.0", reason="bad", clear_default=True)
    assert meant(three, "m") == "2.0.0"
    three.registry.deprecate("m", "2.0.0", reason="odd")
    assert meant(three, "m") == "1.0.0"


def test_without_a_default_and_an_active_version_nothing_is_meant(three):
    for version in ("1.0.0", "2.0.0"):
        three.registry.deprecate("m", version, reason="old")
    three.registry.deprecate("m", "1.1.0", reason="old", clear_default=True)
    assert "no default" in refusal(three, "m")
    assert "2.0.0 (deprecated: old)" in refusal(three, "m")
    assert meant(three, "m@latest") == "2.0.0"


def test_a_pin_means_just_that_version(three):
    assert meant(three, "m@1.0.0") == "1.0.0"


def test_a_pin_that_does_not_exist_names_what_does(three):
    assert "2.0.0, 1.1.0, 1.0.0" in refusal(three, "m@3.0.0")
    assert "did you mean 1.0.0?" in refusal(three, "m@1.0")


def test_a_range_means_the_highest_active_version_it_admits(three):
    assert meant(three, "m@^1") == "1.1.0"
    assert meant(three, "m@>=1,<3") == "2.0.0"
    three.registry.deprecate("m", "1.1.0", reason="old", default="2.0.0")
    assert meant(three, "m@^1") == "1.0.0"


def test_a_range_with_only_deprecated_versions_left_warns_and_works(three):
    three.registry.deprecate("m", "1.0.0", reason="slow", replacement="m@2.0.0")
    three.registry.deprecate("m", "1.1.0", reason="wrong", default="2.0.0")
    found = three.registry.resolve("m@^1")
    assert (found.version, found.state) == ("1.1.0", "deprecated")
    assert found.warnings == ("m 1.1.0 is deprecated: wrong",)
    assert three.registry.resolve("m@1.0.0").warnings == ("m 1.0.0 is deprecated: slow; use m@2.0.0",)


def test_a_disabled_pin_is_refused_with_its_reason_unless_it_is_allowed(three):
    three.registry.disable("m", "1.0.0", reason="leaks")
    assert "m 1.0.0 is disabled: leaks / " in refusal(three, "m@1.0.0")
    assert "--allow-disabled" in refusal(three, "m@1.0.0")
    found = three.registry.resolve("m@1.0.0", allow_disabled=True)
    assert (found.version, found.state, found.warnings) == ("1.0.0", "disabled", ("m 1.0.0 is disabled: leaks",))


def test_a_range_never_means_a_disabled_version(three):
    three.registry.disable("m", "2.0.0", reason="bad")
    assert meant(three, "m@>=1") == "1.1.0"
    assert "m 2.0.0" not in refusal(three, "m@^2")
    assert "2.0.0 (disabled: bad)" in refusal(three, "m@^2")


def test_when_everything_is_disabled_it_is_said_what_exists_and_why_not(three):
    for version in ("1.0.0", "2.0.0"):
        three.registry.disable("m", version, reason=f"why {version}")
    three.registry.disable("m", "1.1.0", reason="why 1.1.0", clear_default=True)
    for use in ("m", "m@latest", "m@^1"):
        assert all(f"{v} (disabled: why {v})" in refusal(three, use) for v in ("1.0.0", "1.1.0", "2.0.0"))


def test_a_disabled_module_is_refused_whatever_is_asked_of_it(three):
    three.registry.disable("m", reason="withdrawn")
    for use in ("m", "m@1.0.0", "m@^1", "m@latest"):
        assert "module m is disabled: withdrawn" in refusal(three, use)
    assert three.registry.resolve("m@^1", allow_disabled=True).state == "disabled"
    three.registry.enable("m")
    assert meant(three, "m") == "1.1.0"


def test_a_deprecated_module_warns_with_every_version(three):
    three.registry.deprecate("m", reason="unmaintained", replacement="m@2.0.0")
    found = three.registry.resolve("m@1.0.0")
    assert found.state == "deprecated"
    assert found.warnings == ("module m is deprecated: unmaintained; use m@2.0.0",)


def test_ten_comes_after_nine_and_blue_is_never_the_highest(here):
    for version in ("9", "blue", "10", "1.9", "1.10", "2024-05"):
        here.publish(version, allow_breaking=True)
    assert meant(here, "m") == meant(here, "m@latest") == "10"
    assert meant(here, "m@^1") == "1.10"
    assert meant(here, "m@blue") == "blue"


def test_only_versions_without_an_order_need_to_be_named(here):
    here.publish("blue")
    assert "there is blue" in refusal(here, "m")
    assert "there is blue" in refusal(here, "m@latest")


def test_a_pre_release_is_meant_only_where_it_is_named_or_there_is_nothing_else(here):
    here.publish("1.0.0-rc.1")
    assert meant(here, "m") == "1.0.0-rc.1"
    here.publish("0.9.0")
    here.publish("2.0.0-rc.1")
    assert meant(here, "m") == meant(here, "m@latest") == "0.9.0"
    assert meant(here, "m@>=2.0.0-rc.1") == "2.0.0-rc.1"
    assert "2.0.0-rc.1" in refusal(here, "m@^2")


def test_an_unknown_module_is_told_with_the_nearest(here):
    here.publish("1", name="model-card")
    assert "did you mean model-card?" in refusal(here, "model-crad")
    with pytest.raises(InputError, match="not a module's name"):
        here.registry.resolve("../x")
