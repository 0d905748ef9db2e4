"""What a person allows a repository: to use the places that its files name, and to run its steps."""

PLACES, RUN = "places", "run"
KINDS = (PLACES, RUN)
