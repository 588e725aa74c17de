"""Data sets: one file each, with `load(settings)`; what begins with an underscore is no data set."""
