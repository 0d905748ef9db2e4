"""Steps on a Ray cluster, whose machines share no disk. Only this package imports ray, and only where it is used.

- The *driver* is the process of a run; it submits an *attempt* of a step as a Ray task: a request that a report answers.
- A *worker* is a Ray process that makes one attempt at a time; the worker's *folder* keeps contents between runs.
- A *content* is a Blob, a Tree's listing or an object of Git, named by its hash; it is inline in a message or sent in pieces.
- The *head* is the machine that a cluster is reached by; a *job* is a program that runs on it.
"""
