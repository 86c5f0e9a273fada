"""The figures that an experiment's report may name; scripts/figures draws them."""

FIGURES: dict[str, tuple[str, ...]] = {
    "learning_curves": (),
    "gains": (),
    "heat_map": (),
    "against": ("against", "lines", "panels", "of"),
}
"""The keys that each figure takes; its name is the first, one without keys is a bare word."""

GROUPS = ("arm", "kind", "setting", "share")
"""What lines, panels and axes may be made of beside the keys of settings."""
