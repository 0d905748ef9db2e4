"""What fetches images where there is no skopeo, in a process of its own, which can be ended at any time.

``python -m gitml.execute.environments.images.registry_process REQUEST``: REQUEST is JSON. A small blob is written to stdout as it
is; how far a fetch is are lines of JSON there. Where it fails, it exits with 1 after a line of JSON on stderr:
``{"error": …, "where": …}``. No other module of gitml imports these.
"""
