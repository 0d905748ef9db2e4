"""The feed of answers."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from gitml.errors import InputError
from gitml.tui.query_runner import ALONE, THREADS, Feed
from tests.kit.patience import PATIENCE
from tests.kit.projects.command_line import Project, wait_until


def test_of_questions_under_one_key_the_newest_that_waits_is_answered(project: Project) -> None:
    feed = Feed(str(project.path), project.env)
    gate = threading.Event()
    answers: list[Any] = []
    try:
        for number in range(THREADS):
            feed.ask(("busy", number), lambda ws: gate.wait(PATIENCE), lambda value, error: None)
        for number in range(50):
            feed.ask("same", lambda ws, number=number: number, lambda value, error: answers.append(value))
        gate.set()
        wait_until(lambda: feed.idle)
        assert answers == [49]
    finally:
        feed.close()


def test_an_error_is_delivered_and_the_next_question_answered(project: Project) -> None:
    feed = Feed(str(project.path), project.env)
    answers: list[Any] = []

    def wrong(ws: object) -> None:
        raise InputError("no")

    try:
        feed.ask("a", wrong, lambda value, error: answers.append(error))
        wait_until(lambda: len(answers) == 1)
        feed.ask("b", lambda ws: ws.index.count_runs(), lambda value, error: answers.append(value))
        wait_until(lambda: len(answers) == 2)
        assert isinstance(answers[0], InputError)
        assert answers[1] == 0
    finally:
        feed.close()


def test_what_must_be_alone_is_never_beside_another(project: Project) -> None:
    feed = Feed(str(project.path), project.env)
    inside, most, done = 0, 0, 0

    def alone(ws: object) -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        threading.Event().wait(0.02)
        inside -= 1

    def count(value: object, error: object) -> None:
        nonlocal done
        done += 1

    try:
        for number in range(12):
            feed.ask(number, alone, count, lane=ALONE)
        wait_until(lambda: done == 12)
        assert most == 1
    finally:
        feed.close()


def test_a_lane_that_is_held_up_leaves_the_threads_to_others(project: Project) -> None:
    feed = Feed(str(project.path), project.env)
    gate = threading.Event()
    answers: list[Any] = []
    try:
        for number in range(2 * THREADS):
            feed.ask(number, lambda ws: gate.wait(PATIENCE), lambda value, error: answers.append("held"), lane="a lock")
        for number in range(2 * THREADS):
            feed.ask(("other", number), lambda ws: ws.index.count_runs(), lambda value, error: answers.append(value))
        wait_until(lambda: len(answers) == 2 * THREADS)
        assert answers == [0] * 2 * THREADS
        gate.set()
        wait_until(lambda: feed.idle)
        assert answers.count("held") == 2 * THREADS
    finally:
        gate.set()
        feed.close()


def test_closing_ends_the_threads(project: Project, tmp_path: Path) -> None:
    feed = Feed(str(project.path), project.env)
    feed.ask("a", lambda ws: ws.index.count_runs(), lambda value, error: None)
    wait_until(lambda: feed.idle)
    feed.close()
    assert not any(thread.is_alive() for thread in feed._threads)
