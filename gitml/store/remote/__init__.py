"""Remote stores: the same contents on shared storage, and the transfers between them and the Store of this machine."""
