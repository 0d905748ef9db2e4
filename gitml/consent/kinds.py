"""What a person allows a repository: to use the places that its files name, and to run its steps."""

PLACES, RUN = "places", "run"
KINDS = (PLACES, RUN)
VARIABLE = "GITML_TRUST"
"""The environment variable that allows them where nobody can be asked: ``places``, ``run`` or both, with a comma between."""
