"""Is a lump malignant? What can be told from ten measurements of its cells."""
