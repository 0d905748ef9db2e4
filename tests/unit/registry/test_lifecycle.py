"""Publishing, deprecating, disabling, enabling, defaults, history, and the registry as it was."""

from __future__ import annotations

import pytest

from gitml.errors import InputError
from registry.interface import Interface, ModuleParam, ModulePort
from registry.state import ModuleManifest
from tests.kit.projects.module_folders import INTERFACE, module_folders


def refusal(action, *args, **options):
    with pytest.raises(InputError) as caught:
        action(*args, **options)
    return f"{caught.value.message} / {caught.value.hint}"


@pytest.mark.parametrize("object_format", ["sha1", "sha256"])
def test_what_is_published_is_told_back_whole(tmp_path, object_format):
    with module_folders(tmp_path / "r", object_format=object_format) as here:
        made = here.publish("1.0.0", default=True).version
        tree = here.repo.git("rev-parse", "HEAD:m")
        assert (made.module, made.version, made.state, made.content) == ("m", "1.0.0", "active", f"git:{tree}")
        assert (made.by, made.path, made.commit) == ("Ada <ada@example.org>", "m", here.repo.git("rev-parse", "HEAD"))
        module = here.registry.module("m")
        assert (module.default, module.category, module.tags) == ("1.0.0", "kind", ("t1", "t2"))
        assert module.versions[0].interface == INTERFACE
        assert here.registry.modules() == [module]


def test_event_and_content_are_one_record_that_keeps_the_source(here):
    here.publish("1.0.0")
    names = here.repo.git("ls-tree", "-r", "--name-only", "refs/gitml/registry").split("\n")
    assert [n for n in names if n.startswith("modules/")] == [
        "modules/m/@1.0.0/module.yaml",
        "modules/m/@1.0.0/src/a.py",
    ]
    assert len(names) == 3
    parents = here.repo.git("log", "-1", "--format=%P", "refs/gitml/registry").split()
    assert parents[1] == here.repo.git("rev-parse", "HEAD")


def test_the_same_content_again_is_left_as_it_is_and_said(here):
    here.publish("1.0.0", "x")
    again = here.publish("1.0.0", "x")
    assert not again.new
    assert again.notes == ("m 1.0.0 is published already, with this content",)
    assert here.log() == ["publish m 1.0.0"]


def test_other_content_under_a_version_is_refused(here):
    here.publish("1.0.0", "x")
    assert "a version never changes" in refusal(here.publish, "1.0.0", "y")
    assert here.log() == ["publish m 1.0.0"]


def test_the_same_content_under_another_version_is_said(here):
    here.publish("1.0.0", "x")
    assert here.publish("1.0.1", "x").notes == ("the content is that of 1.0.0",)


def test_a_number_written_otherwise_is_refused(here):
    here.publish("1.0.0")
    assert "1.0 is 1.0.0 written otherwise" in refusal(here.publish, "1.0")
    assert "1.0.0+b is 1.0.0 written otherwise" in refusal(here.publish, "1.0.0+b")


def test_owner_and_name_never_meet_a_version(here):
    here.publish("b", name="a")
    here.publish("1", name="a/b")
    assert [m.name for m in here.registry.modules()] == ["a", "a/b"]


def test_the_default_can_only_be_taken_away_for_another(here):
    for version in ("1.0.0", "1.1.0", "2.0.0"):
        here.publish(version, default=version == "1.1.0")
    for act in (here.registry.deprecate, here.registry.disable):
        assert "--default 2.0.0 or 1.0.0, or --clear-default" in refusal(act, "m", "1.1.0", reason="old")
        assert "no longer active" in refusal(act, "m", "1.1.0", reason="old", default="1.1.0")
        assert "has no version 7" in refusal(act, "m", "1.1.0", reason="old", default="7")
    here.registry.disable("m", "2.0.0", reason="bad")
    assert "it is disabled" in refusal(here.registry.deprecate, "m", "1.1.0", reason="old", default="2.0.0")
    here.registry.deprecate("m", "1.1.0", reason="old", default="1.0.0")
    assert here.registry.module("m").default == "1.0.0"
    here.registry.disable("m", "1.0.0", reason="old", clear_default=True)
    assert here.registry.module("m").default is None


def test_only_an_active_version_becomes_the_default(here):
    here.publish("1.0.0")
    here.registry.deprecate("m", "1.0.0", reason="old")
    assert "it is deprecated" in refusal(here.registry.set_default, "m", "1.0.0")
    here.registry.enable("m", "1.0.0")
    assert here.registry.set_default("m", "1.0.0").kind == "set-default"
    assert here.registry.set_default("m", "1.0.0") is None


def test_what_is_so_already_makes_no_event(here):
    here.publish("1.0.0")
    assert here.registry.enable("m", "1.0.0") is None
    assert here.registry.deprecate("m", "1.0.0", reason="old").reason == "old"
    assert here.registry.deprecate("m", "1.0.0", reason="old") is None
    assert here.registry.deprecate("m", "1.0.0", reason="very old").reason == "very old"


def test_every_transition_is_possible_and_told_with_who_when_and_why(here):
    here.publish("1.0.0")
    for act, reason in (("deprecate", "a"), ("disable", "b"), ("deprecate", "c"), ("enable", "d"), ("disable", "e")):
        getattr(here.registry, act)("m", "1.0.0", reason=reason)
    events = here.registry.history("m")
    assert [(e.kind, e.reason) for e in events[1:]] == [
        ("deprecate", "a"), ("disable", "b"), ("deprecate", "c"), ("enable", "d"), ("disable", "e"),
    ]  # fmt: skip
    assert [e.at for e in events] == sorted({e.at for e in events})
    assert {e.by for e in events} == {"Ada <ada@example.org>"}


def test_a_reason_is_asked_for_and_a_replacement_must_exist(here):
    here.publish("1.0.0")
    assert "no reason" in refusal(here.registry.disable, "m", "1.0.0", reason=" ")
    assert "there is no module 'n'" in refusal(here.registry.deprecate, "m", "1.0.0", reason="r", replacement="n")
    assert "has no version 9" in refusal(here.registry.deprecate, "m", "1.0.0", reason="r", replacement="m@9")
    assert "has no version 9" in refusal(here.registry.disable, "m", "9", reason="r")
    assert "there is no module 'n'" in refusal(here.registry.enable, "n")


def test_what_is_disabled_keeps_the_replacement_it_was_deprecated_for(here):
    here.publish("1.0.0")
    here.publish("1.1.0")
    here.registry.deprecate("m", "1.0.0", reason="slow", replacement="m@1.1.0")
    assert here.registry.disable("m", "1.0.0", reason="wrong").replacement == "m@1.1.0"
    assert here.registry.version("m", "1.0.0").replacement == "m@1.1.0"
    with pytest.raises(InputError, match=r"m 1\.0\.0 is disabled: wrong") as refused:
        here.registry.resolve("m@1.0.0")
    assert "use m@1.1.0" in refused.value.hint
    assert here.registry.disable("m", "1.0.0", reason="wrong") is None
    here.registry.enable("m", "1.0.0")
    assert here.registry.version("m", "1.0.0").replacement is None


def test_a_clock_that_goes_back_does_not_change_the_order(here):
    here.publish("1.0.0")
    here.clock.now -= 86400
    here.registry.deprecate("m", "1.0.0", reason="old")
    first, second = here.registry.history("m")
    assert second.at > first.at


def test_the_registry_as_it_was_does_not_change(here):
    here.publish("1.0.0")
    here.publish("1.1.0", default=True)
    before = here.registry.history("m")[-1].at
    record = here.registry.tip()
    here.clock.now += 7 * 86400
    answers = [here.registry.resolve("m@^1", as_of=as_of) for as_of in (before, record)]
    here.registry.disable("m", "1.1.0", reason="bad", default="1.0.0")
    here.registry.deprecate("m", reason="old")
    here.publish("1.2.0")
    assert [here.registry.resolve("m@^1", as_of=as_of) for as_of in (before, record)] == answers
    assert answers[0].version == "1.1.0"
    assert here.registry.resolve("m", as_of="~1").version == "1.0.0"
    assert [m.default for m in here.registry.modules(as_of=record)] == ["1.1.0"]
    assert len(here.registry.history("m", as_of=record)) == 2
    assert "there is no module 'm' at 2020-01-01" in refusal(here.registry.resolve, "m", "2020-01-01")
    assert here.registry.resolve("m", as_of="2100-01-01").version == "1.0.0"


def test_as_of_takes_dates_times_and_commits_and_refuses_the_rest(here):
    here.publish("1.0.0")
    day = here.registry.history("m")[0].at[:10]
    assert here.registry.resolve("m", as_of=day).version == "1.0.0"
    for text in ("2026-02-30", "yesterday-ish", "--output=x", "2026-01-01T25:00"):
        refusal(here.registry.resolve, "m", text)


@pytest.mark.parametrize(
    ("inputs", "outputs", "params", "what"),
    [
        ([ModulePort("data", "file"), ModulePort("more", "file")], None, None, "required input 'more' is new"),
        ([], None, None, "input 'data' is gone"),
        ([ModulePort("data", "directory")], None, None, "input 'data' was file, is directory"),
        (None, [], None, "output 'out' is gone"),
        (None, [ModulePort("out", "metrics")], None, "output 'out' was file, is metrics"),
        (None, None, [], "parameter 'n' is gone"),
        (None, None, [ModuleParam("n", "str", "3")], "parameter 'n' was int, is str"),
        (None, None, [ModuleParam("n", "int")], "parameter 'n' had the default 3, has none"),
        (None, None, [ModuleParam("n", "int", 3, min=0)], "parameter 'n': min was None, is 0"),
        (None, None, [ModuleParam("n", "int", 3, max=9)], "parameter 'n': max was None, is 9"),
        (None, None, [ModuleParam("n", "int", 3, choices=(3, 4))], "parameter 'n' took anything, now one of 3, 4"),
        (None, None, [ModuleParam("n", "int", 3), ModuleParam("k", "int")], "required parameter 'k' is new"),
    ],
)
def test_a_breaking_interface_needs_a_new_major_version(here, inputs, outputs, params, what):
    here.publish("1.0.0")
    new = Interface(
        INTERFACE.inputs if inputs is None else tuple(inputs),
        INTERFACE.outputs if outputs is None else tuple(outputs),
        INTERFACE.params if params is None else tuple(params),
    )
    told = refusal(here.publish, "1.1.0", None, new)
    assert f"{what} from 1.0.0 to 1.1.0" in told
    assert "2.0.0" in told
    assert here.publish("1.1.0", None, new, allow_breaking=True).notes == (f"breaking: {what} from 1.0.0 to 1.1.0",)
    assert here.registry.history("m")[-1].breaking
    assert here.publish("2.0.0", "b", new).new


@pytest.mark.parametrize(
    ("inputs", "outputs", "params"),
    [
        ([ModulePort("data", "file", optional=True)], None, None),
        ([ModulePort("data", "file"), ModulePort("more", "file", optional=True)], None, None),
        (None, [ModulePort("out", "file"), ModulePort("log", "file")], None),
        (None, None, [ModuleParam("n", "int", 4), ModuleParam("k", "str", "x")]),
        (None, None, [ModuleParam("n", "float", 3.0)]),
    ],
)
def test_a_compatible_interface_needs_none(here, inputs, outputs, params):
    here.publish("1.0.0")
    new = Interface(
        INTERFACE.inputs if inputs is None else tuple(inputs),
        INTERFACE.outputs if outputs is None else tuple(outputs),
        INTERFACE.params if params is None else tuple(params),
    )
    assert here.publish("1.1.0", None, new).notes == ()


def test_a_version_is_compared_with_its_neighbours_in_its_own_line(here):
    wide = Interface(INTERFACE.inputs, (*INTERFACE.outputs, ModulePort("log", "file")), INTERFACE.params)
    here.publish("1.0.0")
    here.publish("1.2.0", None, wide)
    here.publish("2.0.0", None, Interface())
    assert here.publish("1.0.1").new
    assert "from 1.2.0 to 1.3.0" in refusal(here.publish, "1.3.0")
    more = Interface(INTERFACE.inputs, (*wide.outputs, ModulePort("extra", "file")), INTERFACE.params)
    assert "output 'extra' is gone from 1.1.0 to 1.2.0" in refusal(here.publish, "1.1.0", None, more)
    here.registry.disable("m", "1.2.0", reason="bad")
    assert here.publish("1.3.0").new


def test_below_one_the_minor_version_counts_as_major(here):
    here.publish("0.1.0")
    assert "publish a new major version (0.2.0)" in refusal(here.publish, "0.1.1", None, Interface())
    assert here.publish("0.2.0", "x", Interface()).new


def test_a_version_without_an_order_is_compared_with_the_last(here):
    here.publish("2024-05")
    assert "from 2024-05 to 2024-06" in refusal(here.publish, "2024-06", None, Interface())


def test_a_version_is_needed_and_must_be_the_one_the_module_says(here):
    here.publish("1.0.0")
    folder = here.repo.file("m")
    assert "no version" in refusal(here.registry.publish, folder, ModuleManifest("m", INTERFACE))
    assert "asked to publish 2" in refusal(
        here.registry.publish, folder, ModuleManifest("m", INTERFACE, "1"), version="2"
    )


def test_modules_are_found_by_text_category_tag_and_state(here):
    here.publish("1.0.0", name="one")
    here.publish("1.0.0", name="two")
    here.registry.deprecate("two", reason="old")
    names = lambda **wanted: [m.name for m in here.registry.modules(**wanted)]  # noqa: E731
    assert names(text="wo") == ["two"]
    assert names(text="of it") == ["one", "two"]
    assert names(text="%") == []
    assert names(category="kind", tag="t2") == ["one", "two"]
    assert names(tag="t3") == names(category="other") == []
    assert names(state="deprecated") == names(state="deprecated", as_of="2100-01-01") == ["two"]


def test_a_diff_tells_files_and_interface_and_get_writes_the_files(here, tmp_path):
    here.publish("1.0.0")
    here.publish("2.0.0", None, Interface())
    found = here.registry.diff("m", "1.0.0", "2.0.0")
    assert "input 'data' is gone" in found.interface.breaking
    assert found.files == (("M", "module.yaml"),)
    assert here.registry.get("m", "1.0.0", str(tmp_path / "out/deep")) == 2
    assert (tmp_path / "out/deep/src/a.py").read_text() == "print(1)\n"
    assert "something already" in refusal(here.registry.get, "m", "2.0.0", str(tmp_path / "out/deep"))
