"""The configuration: typed sections that are the one source of defaults, flags, checks and schema. Imports neither numpy nor torch."""
