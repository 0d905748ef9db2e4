"""JobsHead: what a Ray head says of its jobs, over real HTTP, by a server that breaks off, falls silent and refuses when told to."""

from __future__ import annotations

import asyncio
import json
import threading
from types import SimpleNamespace
from typing import Any, cast

from aiohttp import WSMsgType, web

from gitml.cluster.connect.cluster import Cluster
from gitml.core.config.project import RayTarget


class JobsHead:
    """A head with `jobs` by id: each a dict of `status` and `output`, perhaps of `metadata`. `faults` are what goes wrong now:

    ``silent`` (questions are taken and not answered), ``still`` (a stream says nothing), ``cut`` (a stream ends as if the job had,
    after `cut_at` characters), ``refuse`` and ``break`` (a submission), ``cut before`` and ``cut after`` (the connection, when a run was submitted: it is not
    there, or it is).
    """

    def __init__(self) -> None:
        self.jobs: dict[str, dict[str, Any]] = {}
        self.faults: set[str] = set()
        self.cut_at = 0
        self.streams = 0
        self.submitting = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._over = asyncio.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._serve()), daemon=True)

    def __enter__(self) -> JobsHead:
        self._thread.start()
        assert self._ready.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """The head vanishes."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._over.set)
            self._thread.join(30)

    def cluster(self, name: str = "big") -> Cluster:
        """What Jobs needs of a Cluster that this is the dashboard of."""
        target = RayTarget(name, "127.0.0.1:1", dashboard=f"127.0.0.1:{self.port}")
        return cast(Cluster, SimpleNamespace(target=target, where=f"target {name}", close=lambda: None))

    def add(self, id: str, status: str, output: str = "") -> dict[str, Any]:
        """A job."""
        self.jobs[id] = {"status": status, "output": output}
        return self.jobs[id]

    async def _serve(self) -> None:
        app = web.Application(client_max_size=1 << 30)
        app.add_routes(
            [
                web.get("/api/version", self._version),
                web.get("/api/jobs/", self._list),
                web.post("/api/jobs/", self._submit),
                web.get("/api/jobs/{id}/logs", self._logs),
                web.get("/api/jobs/{id}/logs/tail", self._tail),
                web.post("/api/jobs/{id}/stop", self._stop),
                web.delete("/api/jobs/{id}", self._delete),
                web.route("*", "/api/packages/{rest:.*}", self._package),
            ]
        )
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.port = runner.addresses[0][1]
        self._ready.set()
        await self._over.wait()
        await runner.cleanup()

    async def _version(self, _: web.Request) -> web.Response:
        from ray import __version__

        return web.json_response({"version": "4", "ray_version": __version__, "ray_commit": "", "session_name": ""})

    async def _list(self, _: web.Request) -> web.Response:
        while "silent" in self.faults:
            await asyncio.sleep(0.05)
        return web.json_response(
            [
                {
                    "type": "SUBMISSION",
                    "submission_id": id,
                    "status": job["status"],
                    "entrypoint": "",
                    "metadata": job.get("metadata", {}),
                }
                for id, job in self.jobs.items()
            ]
        )

    async def _submit(self, request: web.Request) -> web.Response:
        asked = await request.json()
        self.submitting.set()
        if "refuse" in self.faults:
            return web.Response(status=400, text="a bad id")
        if "break" in self.faults:
            return web.Response(status=500, text="no space left")
        if "cut before" not in self.faults:
            self.add(asked["submission_id"], "RUNNING")
        while "silent" in self.faults:
            await asyncio.sleep(0.05)
        if self.faults & {"cut before", "cut after"}:
            assert request.transport is not None
            request.transport.abort()
        return web.json_response({"job_id": asked["submission_id"], "submission_id": asked["submission_id"]})

    async def _logs(self, request: web.Request) -> web.Response:
        return web.json_response({"logs": self._job(request)["output"]})

    async def _tail(self, request: web.Request) -> web.WebSocketResponse:
        self.streams += 1
        job = self._job(request)
        stream = web.WebSocketResponse()
        await stream.prepare(request)
        at = 0
        while True:
            ended = job["status"] != "RUNNING"
            news = "" if "still" in self.faults else job["output"][at : at + 20000]
            if "cut" in self.faults:
                news = news[: max(0, self.cut_at - at)]
            if news:
                at += len(news)
                await stream.send_str(news)
            elif "cut" in self.faults or (ended and "still" not in self.faults):
                await stream.close()
                return stream
            else:
                try:
                    if (await stream.receive(timeout=0.05)).type in (WSMsgType.CLOSE, WSMsgType.CLOSED):
                        return stream
                except TimeoutError:
                    continue

    async def _stop(self, request: web.Request) -> web.Response:
        self._job(request)["status"] = "STOPPED"
        return web.json_response({"stopped": True})

    async def _delete(self, request: web.Request) -> web.Response:
        self._job(request)
        del self.jobs[request.match_info["id"]]
        return web.json_response({"deleted": True})

    async def _package(self, request: web.Request) -> web.Response:
        return web.Response(status=404) if request.method == "GET" else web.Response()

    def _job(self, request: web.Request) -> dict[str, Any]:
        id = request.match_info["id"]
        if id not in self.jobs:
            raise web.HTTPNotFound(text=json.dumps(f"Job {id} does not exist"))
        return self.jobs[id]
