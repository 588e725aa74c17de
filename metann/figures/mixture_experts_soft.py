"""Figure mixture_experts_soft: how much weight the gate gives every expert on every class, for every run."""

import pandas as pd
from matplotlib.figure import Figure

from metann.figures._mixture_shares import draw_shares
from metann.figures._style import styled

CAPTION = """
Soft division of the test images: the mean of the gate's values over the images of every class. One map for every method and seed, none
left out; columns of a map sum to one. Where the hard map is sharp and this one pale, the gate decides narrowly.
"""
TABLES = ("mixture_experts", "mixture_runs")


@styled
def draw(tables: dict[str, pd.DataFrame]) -> Figure:
    """Methods in the order of their error on validation."""
    return draw_shares(tables, "soft", "How much the gate gives every expert (soft)")
