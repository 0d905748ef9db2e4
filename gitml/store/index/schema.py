"""The tables of the index. Everything in them can be made again from the records and the repository."""

from __future__ import annotations

VERSION = 2
"""Raised with any change below; a database of another version is set aside and a new one begun."""

TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE facts (kind TEXT, id TEXT, value TEXT NOT NULL, PRIMARY KEY (kind, id)) WITHOUT ROWID;
CREATE TABLE environments (digest TEXT PRIMARY KEY, description BLOB NOT NULL);
CREATE TABLE inline (digest TEXT PRIMARY KEY, oid TEXT NOT NULL) WITHOUT ROWID;

-- What is known by ActionKey: the newest result, all contents that were ever seen where they differ, and the Action.
CREATE TABLE results (key TEXT PRIMARY KEY, result TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE variants (key TEXT, run TEXT, at REAL, result TEXT NOT NULL, PRIMARY KEY (key, run)) WITHOUT ROWID;
CREATE TABLE actions (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, preimage BLOB);
CREATE TABLE performed (pipeline TEXT, step TEXT, key TEXT, run TEXT NOT NULL, at REAL NOT NULL,
                        PRIMARY KEY (pipeline, step, key)) WITHOUT ROWID;
CREATE INDEX performed_newest ON performed (pipeline, step, at);
CREATE TABLE failures (pipeline TEXT, step TEXT, key TEXT NOT NULL, run TEXT NOT NULL, at REAL NOT NULL,
                       PRIMARY KEY (pipeline, step)) WITHOUT ROWID;

CREATE TABLE runs (id TEXT PRIMARY KEY, started REAL NOT NULL, ended REAL NOT NULL, pipeline TEXT NOT NULL,
                   experiment TEXT NOT NULL, status TEXT NOT NULL, "commit" TEXT NOT NULL, base TEXT, branch TEXT,
                   dirty INTEGER NOT NULL, message TEXT NOT NULL, tags TEXT NOT NULL, counts TEXT NOT NULL,
                   metrics TEXT NOT NULL, record TEXT NOT NULL);
CREATE INDEX runs_newest ON runs (started, id);
CREATE INDEX runs_pipeline ON runs (pipeline, started, id);
CREATE INDEX runs_experiment ON runs (experiment, started, id);
CREATE INDEX runs_status ON runs (status, pipeline, started, id);
CREATE INDEX runs_branch ON runs (branch, started, id);
CREATE INDEX runs_commit ON runs ("commit");
CREATE TABLE tags (tag TEXT, started REAL, run TEXT, PRIMARY KEY (tag, started, run)) WITHOUT ROWID;

-- Lineage: the steps that were performed (not those reused), what they made, and what their Actions name.
CREATE TABLE steps (id INTEGER PRIMARY KEY, run TEXT NOT NULL, step TEXT NOT NULL, outcome TEXT NOT NULL,
                    action INTEGER NOT NULL);
CREATE INDEX steps_run ON steps (run);
CREATE INDEX steps_action ON steps (action);
CREATE TABLE made (digest TEXT, step INTEGER, port TEXT, PRIMARY KEY (digest, step, port)) WITHOUT ROWID;
CREATE TABLE used (content TEXT, path TEXT, action INTEGER, PRIMARY KEY (content, path, action)) WITHOUT ROWID;
CREATE INDEX used_path ON used (path);
"""
