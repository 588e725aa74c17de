"""Figure mixture_experts: which expert answers which class, for every run."""

import pandas as pd
from matplotlib.figure import Figure

from metann.figures._mixture_shares import draw_shares
from metann.figures._style import styled

CAPTION = """
Hard division of the test images: the share of every class that each expert answers, where the expert of an image is the first largest of
its gate row. One map for every method and seed, none left out; columns of a map sum to one. One dark cell in a column says that the class
belongs to one expert; a dark row says that one expert gets everything.
"""
TABLES = ("mixture_experts", "mixture_runs")


@styled
def draw(tables: dict[str, pd.DataFrame]) -> Figure:
    """Methods in the order of their error on validation."""
    return draw_shares(tables, "hard", "Which expert answers which class (hard)")
