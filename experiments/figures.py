"""The figures that an experiment's report may name; scripts/figures draws them."""

PLAIN = ("learning_curves", "gains", "high_conductance")
WITH_KEYS = {
    "against": ("against", "lines", "panels"),
    "heat_map": ("heat_map",),
}
"""Figures that take settings, by the first key of their mapping, and all keys it may have."""
