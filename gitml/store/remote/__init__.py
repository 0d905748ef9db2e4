"""Remote stores: the same objects on shared storage.

An *object* there is a large file, or a *pack* of many small ones; the *manifest* of a Tree names all objects that it consists of,
and is written last. The *notes* of gc lie beside them: what is *doomed* (to be deleted after a grace) and the *epoch*, which
counts deletions. `cache.RemoteCache` remembers what is known to be in one.
"""
