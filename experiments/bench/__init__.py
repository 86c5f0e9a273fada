"""Benchmarks: what a step, a loss or a draw costs in seconds and in memory, beside alternatives.

make bench                              # all comparisons, into results/bench/<hardware>.csv
make bench BENCH="survivors auc_loss"   # only these
"""
