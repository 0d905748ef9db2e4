"""Transfer: records and artifacts between this repository and its remotes.

*Records* travel by Git between clones; *artifacts*, which are outputs and logs, are uploaded to and downloaded from *remote
stores*, each a root with all below it. *Availability* says whether an output is here, in a record or in a remote store. A *run
selection* names the runs and outputs that a transfer is about.
"""
