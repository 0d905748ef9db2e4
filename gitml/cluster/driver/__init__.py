"""The driver: the Executor of a Ray cluster, on the machine of the run.

- An *attempt* is one Ray task for one Task of the engine; `attempt` has its states and what each event does in each.
- A *node* is a machine of the cluster with what this run has booked there and knows of it (`node_pool`).
- The *driver state* is all that changes while a run goes on; the *session* is the services that its parts share.
- A *gang* is one step on several nodes at once, each an attempt of its own in a *bundle* that Ray reserves for it.
- A node *refuses* an environment that it can't perform steps in; a request is *infeasible* when no node will ever fulfil it.
"""
