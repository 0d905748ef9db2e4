"""Environments of steps: what their programs are.

- To *identify* an environment is to describe it by content, so that it can stand in a key; to *realize* it is to make it usable
  on this machine, which for some kinds means to build it.
- A *provider* does both for one kind of environment.
- A *site folder* is one that Python imports packages from; an *editable* install leads from there to elsewhere.
- What a step is *lent* are variables of the machine that are not part of its key.
"""
