"""The project's own package in a sandbox: what an editable install would leave among the packages, made for one attempt.

- *Imports* are served by the ``sitecustomize`` that `import_redirect` writes.
- The *metadata* is a ``dist-info`` folder, by which ``importlib.metadata`` knows version and entry points.
- A *command* is a script on PATH that calls a function of the package.
"""
