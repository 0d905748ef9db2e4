"""Clusters whose machines speak by TLS: certificates of an authority of one's own, on separate machines."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.cluster.machine_project import MachineProject
from tests.kit.cluster.machines import NETWORK, Machines, machines, why_not
from tests.kit.cluster.ray_cluster import TOKEN, TOKEN_FILE, MachineOffer, RayCluster

pytestmark = [
    pytest.mark.skipif(why_not() is not None, reason=f"no machines: {why_not()}"),
    pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is missing: install openssl"),
    pytest.mark.slow,
    pytest.mark.cluster,
    pytest.mark.timeout(600),
]

TLS = {
    "RAY_USE_TLS": "1",
    "RAY_TLS_CA_CERT": "/etc/ray-ca.pem",
    "RAY_TLS_SERVER_CERT": "/etc/ray.pem",
    "RAY_TLS_SERVER_KEY": "/etc/ray-key.pem",
}
FILES = {
    "gitml.yaml": f'targets: {{c: {{ray: "{NETWORK}.1:6379", token: {TOKEN_FILE}}}}}\n',
    "pipelines/p.yaml": "steps:\n  a: {run: 'sh a.sh ${{ outputs.o }}', outputs: {o: file}, resources: {labels: {zone: b}}}\n"
    "  b: {run: 'sh b.sh ${{ steps.a.outputs.o }} ${{ outputs.o }}', outputs: {o: file}}\n",
    "a.sh": 'echo on $(hostname); yes large | head -c 20000000 > "$1"\n',
    "b.sh": 'wc -c < "$1" > "$2"\n',
}


def certify(lab: Machines, folder: Path) -> None:
    """Gives each machine a certificate for its own addresses, signed by an authority that is made for this."""

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    new = ("req", "-newkey", "rsa:2048", "-nodes", "-days", "2")
    openssl(*new, "-x509", "-keyout", "ca-key.pem", "-out", "ca.pem", "-subj", "/CN=authority of the tests")
    for machine in lab:
        name = machine.name
        openssl(*new, "-keyout", f"{name}-key.pem", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        (folder / "names").write_text(f"subjectAltName=IP:{machine.address},IP:127.0.0.1,DNS:{name},DNS:localhost\n")
        signed = ("-CA", "ca.pem", "-CAkey", "ca-key.pem", "-CAcreateserial", "-days", "2", "-extfile", "names")
        openssl("x509", "-req", "-in", f"{name}.csr", "-out", f"{name}.pem", *signed)
        machine.write(TLS["RAY_TLS_CA_CERT"], (folder / "ca.pem").read_text())
        machine.write(TLS["RAY_TLS_SERVER_CERT"], (folder / f"{name}.pem").read_text())
        machine.write(TLS["RAY_TLS_SERVER_KEY"], (folder / f"{name}-key.pem").read_text(), 0o600)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayCluster]:
    """Two machines that speak by TLS alone."""
    with machines(2) as lab:
        certify(lab, tmp_path_factory.mktemp("certificates"))
        cluster = RayCluster(lab, [MachineOffer(), MachineOffer(labels={"zone": "b"})], env=TLS)
        cluster.start_all()
        yield cluster


def test_a_run_uses_machines_that_speak_by_tls_alone(cluster: RayCluster) -> None:
    project = MachineProject(cluster.on(1), FILES, TLS)
    told = project.gitml("run", "--on", "c", "--json")
    steps = {step["name"]: step for step in told.json["steps"]}
    assert steps["a"]["attempts"][0]["machine"] == "node2", told.err
    assert {step["outcome"] for step in steps.values()} == {"executed"}
    (target,) = project.gitml("targets", "c", "--json").json
    assert [machine["name"] for machine in target["machines"]] == ["node1", "node2"]


def test_who_does_not_speak_tls_is_told_within_seconds(cluster: RayCluster) -> None:
    project = MachineProject(cluster.on(1), FILES, name="plain")
    told = project.gitml("run", "--on", "c", code=6)
    assert told.seconds < 15
    assert "RAY_USE_TLS" in told.err, told.err


def test_a_certificate_of_another_authority_is_refused(cluster: RayCluster, tmp_path: Path) -> None:
    other = ("req", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-x509", "-subj", "/CN=another")
    subprocess.run(["openssl", *other, "-keyout", "k", "-out", "c"], cwd=tmp_path, check=True, capture_output=True)
    for name, source in (("ca", "c"), ("key", "k"), ("cert", "c")):
        cluster.on(1).write(f"/etc/other-{name}", (tmp_path / source).read_text(), 0o600)
    env = {
        "RAY_USE_TLS": "1",
        "RAY_TLS_CA_CERT": "/etc/other-ca",
        "RAY_TLS_SERVER_CERT": "/etc/other-cert",
        "RAY_TLS_SERVER_KEY": "/etc/other-key",
    }
    project = MachineProject(cluster.on(1), FILES, env, name="other")
    told = project.gitml("run", "--on", "c", code=None)
    assert told.code in (6, 7)
    assert told.seconds < 15
    assert "its certificate is not one of the authority" in told.err, told.err
    assert TOKEN not in told.err


def test_a_cluster_without_tls_is_told_apart(cluster: RayCluster) -> None:
    """Something else that listens stands for it: what it says first is no TLS."""
    machine = cluster.on(1)
    serve = (
        "import socket as s; l = s.create_server(('10.77.0.1', 7777))\nwhile 1: c, _ = l.accept(); c.sendall(b'x' * 99)"
    )
    listening = machine.start("python", "-c", serve)
    try:
        files = {**FILES, "gitml.yaml": f'targets: {{c: {{ray: "{NETWORK}.1:7777", token: {TOKEN_FILE}}}}}\n'}
        told = MachineProject(machine, files, TLS, name="neither").gitml("run", "--on", "c", code=6)
        assert "does not speak TLS" in told.err, told.err
    finally:
        listening.kill()
        listening.communicate()
