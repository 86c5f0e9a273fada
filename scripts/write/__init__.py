"""Write what was compared, as pages and tables."""
