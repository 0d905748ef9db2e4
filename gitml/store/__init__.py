"""What gitml keeps outside Git, on this machine and on shared storage.

A *Blob* is the bytes of a file, a *Tree* the listing of a directory; both are *objects*, named by the sha256 of their content
(their *Digest*). `local` is the Store of this machine, `index` the database that finds runs and results fast, and can be made
again from the records, `remote` the remote stores and the transfers between them and the Store.
"""
