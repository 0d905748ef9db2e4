"""Values of parameters: nested data, the paths that name its parts, and the config files of a project that hold them.

A **value** is JSON data. A **path** is the name of a part of it: ``train.lr``, ``models[0]``, ``model["odd key"].depth``.
A **config file** is a YAML, TOML or JSON file of the commit whose top-level keys are parameters. Its **projection** is the
text that a step finds in the place of the file: the keys that the step declares, with the values of the run.
"""
