"""Commands that read recorded runs."""
