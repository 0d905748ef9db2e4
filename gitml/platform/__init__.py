"""What operating systems do differently, behind one interface with two forms: Linux, and portable POSIX.

- A *form* is an `interface.Platform`, which itself is the portable one; `current.platform` is the one that this process uses.
  It is chosen once: the Linux form on Linux, else the portable one, which ``GITML_PLATFORM=posix`` chooses on Linux, too,
  for tests.
- A *guarantee* is what only some forms give; `LACKS` of a form names those that it doesn't, for `gitml doctor`.
- `kernel` and `landlock` are calls of the Linux kernel that Python has no function for.
"""
