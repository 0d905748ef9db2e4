"""Analysis: what a user asks about pipelines and runs.

*Explain* compares a step's Action with the nearest recorded one; *reproduce* repeats a run and compares its outputs byte by byte;
the *timeline* is a grid of commits and steps; *lock* resolves modules for `gitml.lock`; *module usage* lists who uses a module.
"""
