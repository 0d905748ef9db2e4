"""Values, plans and runs as text for the terminal."""
