"""Git: objects, refs, the work tree, and the record logs in refs. Only this package imports dulwich and GitPython."""
