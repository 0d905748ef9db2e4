"""Which commands there are: known without importing one, so that `gitml --help` costs nothing."""

from __future__ import annotations

from typing import NamedTuple


class CommandEntry(NamedTuple):
    """A command: its module below `gitml.cli.commands`, with its name there unless it is `command`, and its line of the help."""

    module: str
    help: str


SECTIONS: dict[str, dict[str, CommandEntry]] = {
    "Run": {
        "run": CommandEntry("run.run", "Run a pipeline, reusing every step that did not change"),
        "submit": CommandEntry("run.submit", "Submit a whole run to a cluster"),
        "collect": CommandEntry("run.collect", "Download the records and results of submitted runs"),
        "plan": CommandEntry("run.plan", "Show what each step of a pipeline would do, and why"),
        "check": CommandEntry("run.check", "Check pipeline files and report every mistake"),
        "explain": CommandEntry("run.explain", "Show why a step runs again"),
        "status": CommandEntry("run.status", "Show what is up to date, what runs now, and the last runs"),
        "dag": CommandEntry("run.dag", "Draw the graph of a pipeline"),
        "targets": CommandEntry("run.targets", "Show where steps can run: machines, what they have, what is free"),
        "env": CommandEntry("environment.group", "Show, build, compare, lock and push the environments of steps"),
        "cancel": CommandEntry("run.cancel", "Cancel a run in progress"),
        "rerun": CommandEntry("run.rerun", "Run what a recorded run ran"),
        "promote": CommandEntry("run.promote", "Make the files and values of a run a commit on a branch"),
        "shell": CommandEntry("run.shell", "Open a shell in the sandbox of a step"),
        "wait": CommandEntry("run.wait", "Wait until runs have ended, and exit as they did"),
        "reproduce": CommandEntry("run.reproduce", "Run a recorded run again and compare its outputs"),
    },
    "History": {
        "log": CommandEntry("history.log", "List runs, newest first"),
        "show": CommandEntry("history.show", "Show one run"),
        "logs": CommandEntry("history.logs", "Print what the steps of a run wrote"),
        "metrics": CommandEntry("history.values:metrics", "Show and compare the metrics of runs"),
        "params": CommandEntry("history.values:params", "Show and compare the parameters of runs"),
        "plots": CommandEntry(
            "history.plots:plots", "Draw the plots of runs, over one another, as pictures or on a page"
        ),
        "checkout": CommandEntry("history.checkout", "Write the outputs of a run to files"),
        "ui": CommandEntry("history.ui", "Browse runs in the terminal or a browser, and act from there"),
        "lineage": CommandEntry("history.lineage", "Show where an artifact comes from, and what was made of it"),
    },
    "Share": {
        "push": CommandEntry("share.records:push", "Send records of runs to a Git remote"),
        "fetch": CommandEntry("share.records:fetch", "Fetch the records of a Git remote"),
        "pull": CommandEntry("share.records:pull", "Fetch records, and download artifacts that are asked for"),
        "lock": CommandEntry("share.lock", "Write down which version of each module the pipelines use"),
        "module": CommandEntry("module.group", "Publish, find and manage reusable steps"),
        "remotes": CommandEntry("share.remotes", "List the remote stores, and see whether they answer"),
    },
    "Maintain": {
        "du": CommandEntry("maintenance.gc:du", "Show how much disk space gitml uses"),
        "gc": CommandEntry("maintenance.gc", "Remove what no kept run needs"),
        "fsck": CommandEntry("maintenance.fsck", "Check everything that is stored"),
    },
    "Set up": {
        "init": CommandEntry("setup.init", "Start using gitml in a repository"),
        "clone": CommandEntry("share.records:clone", "Clone a repository with the records of its runs"),
        "demo": CommandEntry("setup.demo", "Make a small repository and walk through it"),
        "doctor": CommandEntry("setup.doctor", "Check what works on this machine"),
        "config": CommandEntry("setup.config", "Show the settings in force"),
        "trust": CommandEntry("setup.trust", "Allow a repository to use the places it names and to run its steps"),
        "hooks": CommandEntry("hooks.group", "Let Git call gitml: check commits, send runs along"),
        "schema": CommandEntry("setup.schema", "Print the JSON Schema of the files of gitml, for editors"),
        "completion": CommandEntry("setup.completion", "Print the completion script of a shell"),
    },
}

COMMANDS: dict[str, CommandEntry] = {name: entry for section in SECTIONS.values() for name, entry in section.items()}

# A command of a group with a dot between.
_LOOKING = """plan check explain status dag targets log show logs checkout ui remotes du fsck doctor config completion
    schema metrics.show metrics.diff params.show params.diff lineage.up lineage.down lineage.show hooks.status module.list
    module.show module.versions module.history module.resolve module.diff module.verify module.get module.check trust.list
    env.show env.explain env.diff plots.show plots.diff"""

LOOKING = frozenset(name.replace(".", " ") for name in _LOOKING.split())
"""What only looks at the repository, and works where it can't be written. So does `run -n`; not so `fsck --repair`. All others
change the repository, or make one."""
