"""Modules: steps that a registry publishes under a name and versions, and that pipelines use by ``module: name@^1``.

- *spec*: what a `module.yaml` says. *content*: the Git tree of a module's folder.
- *use*: ``registry:name@requirement`` in a pipeline; it is *resolved* to a version by `gitml.lock`, else by the registry.
- *impact*: what a change to a registry would do to the uses of a module. *tryout*: a module run alone, from its folder.
"""
