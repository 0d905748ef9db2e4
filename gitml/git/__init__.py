"""Git, by its own program: only this package runs git, and only it imports dulwich and GitPython.

- *location*: where a repository is: its Git folder, the one that its worktrees share, the work tree, the object format.
- *objects*: read through `git cat-file` processes that persist; on a machine without a repository, loose objects by their ids.
- *source*: the files of a commit, of a tree, or of the work tree as it is (`worktree`), by path.
- *log*: an append-only log of records in a ref of gitml, how it differs from another, and its exchange with *remotes*.
- *integrity*: what makes writes of Git survive a power cut (*durability*), and what finds and repairs damage.
- *lfs*: pointers of Git LFS and the server that holds what they point to.
- *hooks*: the scripts that Git calls, and the settings that say where they are.
"""
