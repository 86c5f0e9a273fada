"""Draw what was compared."""
