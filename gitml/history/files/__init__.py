"""The files of recorded runs: selecting outputs by name, reading, previewing and checking them out."""
