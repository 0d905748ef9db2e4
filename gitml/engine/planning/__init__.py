"""Planning: from a name and a revision to a Plan."""
