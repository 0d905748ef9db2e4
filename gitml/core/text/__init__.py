"""Values as text and drawings, and text and image formats as values."""
