"""Finished runs in; tables, figures and reports out. Reads committed files only; needs no torch."""
