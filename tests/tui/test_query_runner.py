"""The runner of queries."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from gitml.errors import InputError
from gitml.store.index.runs import count_runs
from gitml.tui.query_runner import EXCLUSIVE, THREADS, QueryRunner
from tests.kit.patience import PATIENCE
from tests.kit.projects.command_line import Project, wait_until


def test_of_questions_under_one_key_the_newest_that_waits_is_answered(project: Project) -> None:
    queries = QueryRunner(str(project.path), project.env)
    gate = threading.Event()
    answers: list[Any] = []
    try:
        for number in range(THREADS):
            queries.submit(("busy", number), lambda ws: gate.wait(PATIENCE), lambda value, error: None)
        for number in range(50):
            queries.submit("same", lambda ws, number=number: number, lambda value, error: answers.append(value))
        gate.set()
        wait_until(lambda: queries.idle)
        assert answers == [49]
    finally:
        queries.close()


def test_an_error_is_delivered_and_the_next_question_answered(project: Project) -> None:
    queries = QueryRunner(str(project.path), project.env)
    answers: list[Any] = []

    def wrong(ws: object) -> None:
        raise InputError("no")

    try:
        queries.submit("a", wrong, lambda value, error: answers.append(error))
        wait_until(lambda: len(answers) == 1)
        queries.submit("b", lambda ws: count_runs(ws.index), lambda value, error: answers.append(value))
        wait_until(lambda: len(answers) == 2)
        assert isinstance(answers[0], InputError)
        assert answers[1] == 0
    finally:
        queries.close()


def test_what_must_be_alone_is_never_beside_another(project: Project) -> None:
    queries = QueryRunner(str(project.path), project.env)
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
            queries.submit(number, alone, count, lane=EXCLUSIVE)
        wait_until(lambda: done == 12)
        assert most == 1
    finally:
        queries.close()


def test_a_lane_that_is_held_up_leaves_the_threads_to_others(project: Project) -> None:
    queries = QueryRunner(str(project.path), project.env)
    gate = threading.Event()
    answers: list[Any] = []
    try:
        for number in range(2 * THREADS):
            queries.submit(
                number, lambda ws: gate.wait(PATIENCE), lambda value, error: answers.append("held"), lane="a lock"
            )
        for number in range(2 * THREADS):
            queries.submit(
                ("other", number), lambda ws: count_runs(ws.index), lambda value, error: answers.append(value)
            )
        wait_until(lambda: len(answers) == 2 * THREADS)
        assert answers == [0] * 2 * THREADS
        gate.set()
        wait_until(lambda: queries.idle)
        assert answers.count("held") == 2 * THREADS
    finally:
        gate.set()
        queries.close()


def test_closing_ends_the_threads(project: Project, tmp_path: Path) -> None:
    queries = QueryRunner(str(project.path), project.env)
    queries.submit("a", lambda ws: count_runs(ws.index), lambda value, error: None)
    wait_until(lambda: queries.idle)
    queries.close()
    assert not any(thread.is_alive() for thread in queries._threads)
