"""The log of a registry: events in a Git ref, its journal, verification and sharing."""
