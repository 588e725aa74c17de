"""Figures: one file each, a `draw(tables)`, a literal `CAPTION` and the literal names `TABLES` that it is drawn from."""
