"""The sandbox of one attempt: its files, its isolation, and what is taken from it.

- The *root* is the folder in which an executor makes sandboxes, beside the store or in a folder outside of every project.
- A sandbox that is *mounted* is seen by its step at one path that is the same on every machine.
- The *isolation* of a step is what it is cut off from: the network, and with `sandbox: strict` files and other processes.
- *Partial outputs* are what an attempt that did not succeed left where its outputs should be.
"""
