"""What is done by py-rattler, in a process of its own, which can be ended at any time.

``python -m gitml.execute.environments.conda.rattler_process REQUEST``: REQUEST is a JSON file; what happens is printed as JSON,
one object a line: ``{"doing": …}`` meanwhile, ``{"result": …}`` in the end, or ``{"error": …}``. No other module of gitml imports
these.
"""
