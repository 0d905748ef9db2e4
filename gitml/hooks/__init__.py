"""What gitml does when Git commits, checks out, merges, pushes or receives: each a function that gives data."""
