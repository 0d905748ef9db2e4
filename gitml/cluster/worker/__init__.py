"""The worker: what runs on a machine of the cluster for one attempt."""
