"""Compare arms: intervals, verdicts, what is pooled of a claim."""
