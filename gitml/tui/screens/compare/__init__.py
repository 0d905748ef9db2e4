"""The screen Compare: runs side by side."""
