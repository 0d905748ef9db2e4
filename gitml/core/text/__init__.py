"""Values as text and drawings for people, and the text and image formats of outputs as values."""
