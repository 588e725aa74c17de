"""Mathematics of the meta neural network: a switch network proposes classes, one expert per class confirms or denies.

Shapes: N images, K classes, J = K + 1 prefixes (0..K active classes), T thresholds. Names are imported when they are asked for.
"""

from metann.registry import lazy_names

__getattr__ = lazy_names(
    __name__,
    {
        "CurvePoint": "metann.mnn.curve",
        "OracleCurve": "metann.mnn.bounds",
        "OraclePrefix": "metann.mnn.bounds",
        "PrefixCounts": "metann.mnn.evaluation",
        "RULES": "metann.mnn.combination",
        "RandomPrefix": "metann.mnn.bounds",
        "ThresholdCurve": "metann.mnn.curve",
        "apply_expert_temperature": "metann.mnn.calibration",
        "apply_temperature": "metann.mnn.calibration",
        "base_rates": "metann.mnn.calibration",
        "broken_images": "metann.mnn.mistakes",
        "combine": "metann.mnn.combination",
        "correct_at": "metann.mnn.evaluation",
        "curve_from_prefix": "metann.mnn.curve",
        "evaluate_lengths": "metann.mnn.evaluation",
        "evaluate_thresholds": "metann.mnn.evaluation",
        "fit_expert_temperature": "metann.mnn.calibration",
        "fit_temperature": "metann.mnn.calibration",
        "lengths_at": "metann.mnn.evaluation",
        "misclassified_images": "metann.mnn.mistakes",
        "oracle_curve": "metann.mnn.bounds",
        "oracle_prefix": "metann.mnn.bounds",
        "prefix_correct": "metann.mnn.prefix_table",
        "prefix_lengths": "metann.mnn.evaluation",
        "prefix_mask": "metann.mnn.evaluation",
        "prefix_order": "metann.mnn.prefix_table",
        "prefix_predictions": "metann.mnn.prefix_table",
        "random_prefix": "metann.mnn.bounds",
        "threshold_curve": "metann.mnn.curve",
    },
)
