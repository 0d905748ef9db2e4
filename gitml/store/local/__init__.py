"""The Store of this machine: objects by digest, locks, gc."""
