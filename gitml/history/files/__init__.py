"""The files of recorded runs: reading, previewing and checking out what steps made."""
