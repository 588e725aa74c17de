"""Intervals, paired tests, permutations and the words for them. Pure numpy; scipy where it is needed."""
