"""The screen Lineage: what a result was made from, and what was made of it, as a tree."""
