"""The journal of a run in progress, and the record that is made of it."""
