"""Read what is committed: tables of runs, what experiments declare, benchmarks, pictures."""
