"""What a change to the registry would do, and that making it does just that."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gitml.errors import InputError
from gitml.git.integrity import repairs
from gitml.git.repository import discover
from gitml.modules.folder import create_module
from gitml.modules.impact import (
    ModuleChange,
    ModuleUse,
    PublishImpact,
    UseResolution,
    apply_change,
    impact_of_change,
    impact_of_publishing,
    publish,
    resolve_uses,
)  # fmt: skip
from gitml.modules.service import ModuleService, folders_with_modules, registries_overview
from tests.kit.projects.repository import Repository

PINNED = ModuleUse("irises", "count@1.0.0", "", "count", "1.0.0")
RANGE = ModuleUse("wines", "count@^1", "", "count", "^1")
DEFAULT = ModuleUse("words", "count", "", "count", None)
LOCKED = ModuleUse("letters", "count@^1", "", "count", "^1", "1.0.0")
USES = (PINNED, RANGE, DEFAULT, LOCKED)


class Shelf:
    """A repository with a module in ``m``."""

    def __init__(self, path: Path) -> None:
        self.repo = Repository(path)
        create_module(self.repo.file("m"), "count")
        self.modules = ModuleService(discover(self.repo.path, {}))

    def commit(self, version: str, more: str = "") -> None:
        path = Path(self.repo.file("m/module.yaml"))
        lines = [
            f"version: {version}" if line.startswith("version:") else line for line in path.read_text().split("\n")
        ]
        path.write_text("\n".join(lines))
        script = Path(self.repo.file("m/count.py"))
        script.write_text(script.read_text() + f"# {version}{more}\n")
        self.repo.commit(version)

    def publish(self, version: str, *, default: bool = False) -> None:
        self.commit(version)
        publish(self.modules, "", "m", default=default)

    def effects(self, change: ModuleChange) -> dict[str, str]:
        """What the change would do to each use; making it must do just that."""
        before = resolve_uses(self.modules, USES)
        prospect = impact_of_change(self.modules, change, USES)
        assert {item.use: item.before for item in prospect.consequences} == before
        assert resolve_uses(self.modules, USES) == before, "looking ahead changes nothing"
        assert apply_change(self.modules, change)
        after = resolve_uses(self.modules, USES)
        assert {item.use: item.after for item in prospect.consequences} == after
        assert self.modules.registry().module("count").default == prospect.default[1]
        return {item.use.pipeline: item.effect for item in prospect.consequences if item.effect != "nothing"}


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    made = Shelf(tmp_path / "r")
    made.publish("1.0.0", default=True)
    made.publish("1.1.0")
    yield made
    made.modules.close()


def test_deprecating_warns_those_that_mean_the_version(shelf: Shelf) -> None:
    change = ModuleChange("deprecate", "", "count", "1.0.0", "slow", default="1.1.0")
    assert shelf.effects(change) == {"irises": "warned", "letters": "warned", "words": "another version"}


def test_disabling_refuses_pins_and_locks_and_moves_ranges(shelf: Shelf) -> None:
    assert shelf.effects(ModuleChange("disable", "", "count", "1.1.0", "wrong")) == {"wines": "another version"}
    change = ModuleChange("disable", "", "count", "1.0.0", "wrong", clear_default=True)
    refused = dict.fromkeys(("irises", "wines", "words", "letters"), "refused")
    assert shelf.effects(change) == refused


def test_enabling_makes_them_work_again(shelf: Shelf) -> None:
    shelf.effects(ModuleChange("disable", "", "count", None, "stop"))
    assert set(shelf.effects(ModuleChange("enable", "", "count", None)).values()) == {"works again"}


def test_another_default_touches_only_uses_without_a_requirement(shelf: Shelf) -> None:
    assert shelf.effects(ModuleChange("set-default", "", "count", "1.1.0")) == {"words": "another version"}


def test_what_the_rules_refuse_is_refused_before(shelf: Shelf) -> None:
    with pytest.raises(InputError, match="is the default of count"):
        impact_of_change(shelf.modules, ModuleChange("disable", "", "count", "1.0.0", "x"), USES)
    with pytest.raises(InputError, match="no reason"):
        impact_of_change(shelf.modules, ModuleChange("disable", "", "count", "1.1.0", " "), USES)
    with pytest.raises(InputError, match=r"no version 9\.9\.9"):
        impact_of_change(shelf.modules, ModuleChange("set-default", "", "count", "9.9.9"), USES)


def test_a_change_that_is_so_already_is_said_to_be_idle(shelf: Shelf) -> None:
    assert impact_of_change(shelf.modules, ModuleChange("set-default", "", "count", "1.0.0"), USES).idle
    assert not apply_change(shelf.modules, ModuleChange("set-default", "", "count", "1.0.0"))


def test_publishing_is_foreseen_with_who_would_take_the_new_version(shelf: Shelf) -> None:
    shelf.commit("1.2.0")
    found = impact_of_publishing(shelf.modules, "", "m", USES)
    assert isinstance(found, PublishImpact)
    assert (found.name, found.version, found.prospect.idle) == ("count", "1.2.0", False)
    effects = {item.use.pipeline: (item.effect, item.after) for item in found.prospect.consequences}
    assert effects["wines"] == ("another version", UseResolution("1.2.0", "active"))
    assert [effects[name][0] for name in ("irises", "words", "letters")] == ["nothing"] * 3
    assert publish(shelf.modules, "", "m").new
    assert impact_of_publishing(shelf.modules, "", "m", USES).prospect.idle


def test_other_content_under_a_version_is_refused_before(shelf: Shelf) -> None:
    shelf.commit("1.1.0", " changed")
    with pytest.raises(InputError, match="published with other content"):
        impact_of_publishing(shelf.modules, "", "m", USES)


def test_the_folders_that_can_be_published_are_those_of_the_commit(shelf: Shelf) -> None:
    create_module(shelf.repo.file("a/b"), "other")
    assert folders_with_modules(shelf.modules) == ["m"]
    shelf.repo.commit("other")
    assert folders_with_modules(shelf.modules) == ["a/b", "m"]


def test_a_survey_has_every_module_and_loads_nothing_heavy_for_it(shelf: Shelf) -> None:
    (found,) = registries_overview(shelf.modules)
    assert [(module.name, module.default, len(module.versions)) for module in found.modules] == [("count", "1.0.0", 2)]
    assert found.modules[0] == shelf.modules.registry().module("count")
    assert [event.kind for event in shelf.modules.registry().history("count")] == ["publish", "publish"]


def test_where_there_is_no_registry_a_survey_makes_none(tmp_path: Path) -> None:
    repo = Repository(tmp_path / "r")
    repo.commit()
    modules = ModuleService(discover(repo.path, {}))
    assert [found.modules for found in registries_overview(modules)] == [()]
    modules.close()
    assert not Path(repo.file(".git/gitml/registry.db")).exists()


def test_a_registry_that_is_not_here_yet_is_told_and_not_fetched(shelf: Shelf, tmp_path: Path) -> None:
    modules = ModuleService(shelf.modules.location, None, {"team": str(tmp_path / "nowhere")})
    own, team = registries_overview(modules)
    modules.close()
    assert (len(own.modules), team.fetched, team.modules) == (1, False, ())


def with_another(shelf: Shelf, path: Path) -> dict[str, str]:
    """Makes another registry in `path` and takes it in; forgets the projection of the shelf's own."""
    other = Shelf(path)
    other.publish("1.0.0")
    other.modules.close()
    registries = {"team": str(path)}
    modules = ModuleService(shelf.modules.location, None, registries)
    modules.registry("team")
    modules.close()
    Path(shelf.repo.file(".git/gitml/registry.db")).unlink()
    return registries


def cut(pack: Path, size: int, start: int) -> None:
    pack.write_bytes(pack.read_bytes()[:20])


def flip(pack: Path, size: int, start: int) -> None:
    data = pack.read_bytes()
    flipped = bytes(byte ^ 0xFF for byte in data[start + 4 : start + size])
    pack.write_bytes(data[: start + 4] + flipped + data[start + size :])


def lose(pack: Path, size: int, start: int) -> None:
    pack.unlink()
    pack.with_suffix(".idx").unlink()


def damage(shelf: Shelf, oid: str, how: Callable[[Path, int, int], None]) -> None:
    """Does something to the pack that an object is in: where its bytes begin and how many they are is said."""
    damaged = False
    for path in list(Path(shelf.repo.file(".git/objects/pack")).glob("*.idx")):
        for line in shelf.repo.git("verify-pack", "-v", str(path)).splitlines():
            if line.split()[0] == oid:
                pack = path.with_suffix(".pack")
                pack.chmod(0o644)
                size, start = (int(word) for word in line.split()[3:5])
                how(pack, size, start)
                damaged = True
    assert damaged


@pytest.mark.parametrize(("what", "how"), [("record", cut), ("event", flip)])
def test_a_damaged_registry_is_told_and_the_others_are_surveyed(
    shelf: Shelf, tmp_path: Path, what: str, how: Callable[[Path, int, int], None]
) -> None:
    registries = with_another(shelf, tmp_path / "other")
    added = shelf.repo.git(
        "diff", "--raw", "--no-abbrev", "refs/gitml/registry~1", "refs/gitml/registry", "--", "events"
    )
    event, record = added.split()[3], shelf.repo.git("rev-parse", "refs/gitml/registry")
    damage(shelf, {"record": record, "event": event}[what], how)
    modules = ModuleService(shelf.modules.location, None, registries)
    own, team = registries_overview(modules)
    modules.close()
    assert own.error is not None
    assert [module.name for module in team.modules] == ["count"]


def test_a_registry_whose_newest_record_is_lost_goes_back_to_the_one_before_and_that_is_said(
    shelf: Shelf, tmp_path: Path
) -> None:
    registries = with_another(shelf, tmp_path / "other")
    before, commit = shelf.repo.git("rev-parse", "refs/gitml/registry~1", "refs/gitml/registry").split()
    damage(shelf, commit, lose)
    told: list[str] = []
    repairs.listen(told.append)
    modules = ModuleService(shelf.modules.location, None, registries)
    own, team = registries_overview(modules)
    modules.close()
    assert told == [f"refs/gitml/registry was restored to {before[:12]}: its commit {commit[:12]} is not here"]
    assert own.error is None
    assert [[version.version for version in module.versions] for module in own.modules] == [["1.0.0"]]
    assert [module.name for module in team.modules] == ["count"]


def test_uses_of_a_registry_that_can_not_be_asked_mean_nothing(shelf: Shelf) -> None:
    strange = ModuleUse("p", "none:x", "none", "x", None)
    found = resolve_uses(shelf.modules, (strange, RANGE))
    assert found[RANGE].version == "1.1.0"
    assert "no registry 'none'" in found[strange].refused
