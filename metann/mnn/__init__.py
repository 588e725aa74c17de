"""Mathematics of the meta neural network: a switch network proposes classes, one expert per class confirms or denies.

Pure numpy and scipy: no torch, no files. Shapes: N images, K classes, J = K + 1 prefixes (0..K active classes), T thresholds.
"""

from metann.mnn import switch_functions
from metann.mnn.combination import RULES, combine, prefix_correct, prefix_order, prefix_predictions
from metann.mnn.curve import CurvePoint, ThresholdCurve, curve_from_prefix, threshold_curve

__all__ = [
    "RULES",
    "CurvePoint",
    "ThresholdCurve",
    "combine",
    "curve_from_prefix",
    "prefix_correct",
    "prefix_order",
    "prefix_predictions",
    "switch_functions",
    "threshold_curve",
]
