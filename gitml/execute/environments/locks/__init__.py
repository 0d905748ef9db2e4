"""Python environments from locks: which packages a lock names for a platform, and the virtual environment built of them.

- A *lock* names each package with its version and the hashes of its files.
- A *target* is the platform and the Python that packages are chosen for, by markers and by the tags of wheels.
"""
