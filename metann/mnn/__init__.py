"""Mathematics of the meta neural network: a switch network proposes classes, one expert per class confirms or denies.

Pure numpy and scipy: no torch, no files. Shapes: N images, K classes, J = K + 1 prefixes (0..K active classes), T thresholds.
"""

from metann.mnn import switch_functions
from metann.mnn.calibration import apply_expert_temperature, apply_temperature, base_rates, fit_expert_temperature, fit_temperature
from metann.mnn.combination import RULES, combine, prefix_correct, prefix_order, prefix_predictions
from metann.mnn.controls import OracleCurve, OraclePrefix, RandomPrefix, oracle_curve, oracle_prefix, random_prefix
from metann.mnn.curve import CurvePoint, ThresholdCurve, curve_from_prefix, threshold_curve
from metann.mnn.evaluation import PrefixCounts, correct_at, evaluate_lengths, evaluate_thresholds, lengths_at, prefix_lengths, prefix_mask
from metann.mnn.misclassified import broken_images, misclassified_images

__all__ = [
    "RULES",
    "CurvePoint",
    "OracleCurve",
    "OraclePrefix",
    "PrefixCounts",
    "RandomPrefix",
    "ThresholdCurve",
    "apply_expert_temperature",
    "apply_temperature",
    "base_rates",
    "broken_images",
    "combine",
    "correct_at",
    "curve_from_prefix",
    "evaluate_lengths",
    "evaluate_thresholds",
    "fit_expert_temperature",
    "fit_temperature",
    "lengths_at",
    "misclassified_images",
    "oracle_curve",
    "oracle_prefix",
    "prefix_correct",
    "prefix_lengths",
    "prefix_mask",
    "prefix_order",
    "prefix_predictions",
    "random_prefix",
    "switch_functions",
    "threshold_curve",
]
