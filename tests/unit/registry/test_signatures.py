"""Records are signed where Git is configured to sign; signed, unsigned and unknown signers are told apart."""

from __future__ import annotations

import subprocess

import pytest

from gitml.errors import TrustError
from registry.registry import Registry
from tests.kit.projects.repository import Repository

pytestmark = pytest.mark.needs("ssh-keygen")


@pytest.fixture
def key(tmp_path):
    path = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path


def sign_with(repo, key):
    for name, value in (("gpg.format", "ssh"), ("user.signingKey", str(key)), ("commit.gpgSign", "true")):
        repo.git("config", name, value)


def fresh(shelf):
    shelf.registry.close()
    return Registry.open(shelf.repo.path)


def states(registry):
    found = registry.verify()
    assert found.problems == ()
    return [(record.state, record.signer) for record in found.records]


def test_records_tell_whether_and_by_whom_they_are_signed(here, key, tmp_path):
    here.publish("1.0.0")
    sign_with(here.repo, key)
    here.repo.git("config", "commit.gpgSign", "false")
    with fresh(here) as registry:
        registry.deprecate("m", "1.0.0", reason="without")
    here.repo.git("config", "commit.gpgSign", "true")
    with fresh(here) as registry:
        registry.enable("m", "1.0.0")
        assert [state for state, _ in states(registry)] == ["unsigned", "unsigned", "unknown signer"]
        allowed = tmp_path / "allowed"
        allowed.write_text("ada@example.org " + key.with_suffix(".pub").read_text())
        here.repo.git("config", "gpg.ssh.allowedSignersFile", str(allowed))
        assert states(registry)[2] == ("signed", "ada@example.org")
    assert here.repo.git("log", "-1", "--format=%G?", "refs/gitml/registry") == "G"


def test_a_record_changed_after_it_was_signed_is_told(here, key, tmp_path):
    sign_with(here.repo, key)
    allowed = tmp_path / "allowed"
    allowed.write_text("ada@example.org " + key.with_suffix(".pub").read_text())
    here.repo.git("config", "gpg.ssh.allowedSignersFile", str(allowed))
    with fresh(here) as registry:
        here.registry = registry
        here.publish("1.0.0")
        raw = here.repo.git_bytes("cat-file", "commit", "refs/gitml/registry")
        forged = here.repo.git(
            "hash-object", "-t", "commit", "-w", "--stdin", input=raw.replace(b"publish m 1.0.0", b"publish m 1.0.1")
        )
        here.repo.git("update-ref", "refs/gitml/registry", forged)
        assert [r.state for r in registry.verify().records] == ["bad signature"]


def test_replayed_records_are_signed_again(here, key, tmp_path):
    hub = Repository(tmp_path / "hub.git", bare=True)
    here.publish("1.0.0")
    here.registry.push(hub.path)
    other = Repository(tmp_path / "other")
    other.git("remote", "add", "origin", hub.path)
    sign_with(other, key)
    other.commit("x", {"m/module.yaml": "other\n"})
    with Registry.open(other.path) as registry:
        from registry.state import ModuleManifest
        from tests.kit.projects.module_folders import INTERFACE

        registry.publish(other.file("m"), ModuleManifest("n", INTERFACE, "1"))
        registry.push()
        assert [r.state for r in registry.verify().records] == ["unsigned", "unknown signer"]


def test_a_key_that_does_not_work_is_a_trust_error_and_nothing_is_recorded(here, tmp_path):
    sign_with(here.repo, tmp_path / "no-such-key")
    here.repo.git("config", "commit.gpgSign", "false")
    here.repo.commit("x", {"m/module.yaml": "x\n"})
    with fresh(here) as registry:
        here.repo.git("config", "commit.gpgSign", "true")
        from registry.state import ModuleManifest
        from tests.kit.projects.module_folders import INTERFACE

        with pytest.raises(TrustError, match="can't be signed"):
            registry.publish(here.repo.file("m"), ModuleManifest("m", INTERFACE, "1"))
        assert registry.tip() is None
