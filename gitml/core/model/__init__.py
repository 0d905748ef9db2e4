"""The values that the rest of gitml computes with, and the protocols between its packages.

An Action is everything that determines a step's result, and its ActionKey the sha256 of that; an ActionResult is what performing
it gave. A Digest names a Blob or a Tree by content. A Graph has the steps of a run, each with its StepSettings. A PortKind is a
kind of output. Guarantees are the confinement under which a result was made.
Store, RemoteStore, ActionCache and Executor are protocols.
"""
