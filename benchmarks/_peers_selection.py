"""Networks chosen for each image, on published tables: DESlib and deskit beside our chains."""

import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import _report
import numpy as np

from metann.cascade.every_chain import States, frontier
from metann.cascade.rule import decide

MACS = {
    **{"mobilenet_v2": 88.0, "resnet18": 140.2, "densenet121": 223.4, "vgg11_bn": 272.3, "resnet34": 291.2},
    **{"resnet50": 325.8, "vgg19_bn": 517.7, "googlenet": 1337.1},
}
BUDGET = 320.0


def selection(folder: Path) -> str:
    """Accuracy, networks asked and cost on the half that reports, and seconds to choose and to answer."""
    names, labels = list(MACS), np.load(folder / "labels_test.npy").astype(int)
    tables = [np.load(folder / f"{name}_test.npy").astype(float) for name in names]
    val, test = slice(0, 5000), slice(5000, None)
    rows = []

    def row(what: str, predicted: np.ndarray, asked_NM: np.ndarray, fit: float, answer: float) -> None:
        right, macs = (predicted == labels[test]).mean(), asked_NM @ np.array(list(MACS.values()))
        rows.append([what, f"{100 * right:.2f} %", f"{asked_NM.sum(1).mean():.2f}", f"{macs.mean():,.0f} M", f"{fit:.1f}", f"{answer:.2f}"])

    everyone = np.ones((5000, len(names)))
    row("mean of all eight", sum(table[test] for table in tables).argmax(1), everyone, 0, 0)
    begin = time.perf_counter()
    states = States([table[val] for table in tables], labels[val], "difference", "product")
    found, _ = frontier(states, list(MACS.values()), 5)
    fit = time.perf_counter() - begin
    for what, chains in (("most right", found), (f"within {BUDGET:.0f} M", [one for one in found if one.macs <= BUDGET])):
        best = max(chains, key=lambda one: (one.correct, -one.macs))
        begin = time.perf_counter()
        decisions = decide([tables[i][test] for i in best.chain], best.thresholds, "difference", answer="product")
        answer = time.perf_counter() - begin
        asked = np.zeros((5000, len(names)))
        for place, network in enumerate(best.chain):
            asked[:, network] = decisions.asked_N > place
        row(f"metann, chain of {len(best.chain)}, {what}", decisions.prediction_N, asked, fit, answer)
    for of, features in (("cheapest network", tables[0]), ("all networks", np.concatenate(tables, axis=1))):
        for name, choose in {**_deskit(names), **_deslib(names)}.items():
            predicted, asked, fit, answer = choose(features, tables, labels, val, test)
            asked[:, 0] = 1  # its answer is the feature
            row(f"{name}, neighbours by {of}", predicted, np.ones_like(asked) if of == "all networks" else asked, fit, answer)
    return _report.table(["method", "test accuracy", "networks asked", "cost", "seconds to fit", "seconds to answer 5,000"], rows)


Choose = Callable[..., tuple[np.ndarray, np.ndarray, float, float]]


def _deskit(names: list[str]) -> dict[str, Choose]:
    if find_spec("deskit") is None:
        return {}
    from deskit.des.knorae import KNORAE
    from deskit.des.knorau import KNORAU
    from deskit.des.ola import OLA

    def of(kind: type) -> Choose:
        def choose(features, tables, labels, val, test):
            router = kind(task="classification", metric="prob_correct", mode="max", k=20, preset="exact")
            fit = _report.seconds(lambda: router.fit(features[val], labels[val], dict(zip(names, [t[val] for t in tables], strict=True))))
            begin = time.perf_counter()
            weights = np.array([[w.get(name, 0.0) for name in names] for w in router.predict_weights(features[test])])
            p_NK = np.einsum("nm,mnk->nk", weights, np.stack([table[test] for table in tables]))
            return p_NK.argmax(1), (weights > 0).astype(float), fit, time.perf_counter() - begin

        return choose

    return {f"deskit {kind.__name__}": of(kind) for kind in (KNORAE, KNORAU, OLA)}


def _deslib(names: list[str]) -> dict[str, Choose]:
    if find_spec("deslib") is None:
        return {}
    from deslib.base import BaseDS
    from deslib.dcs.ola import OLA
    from deslib.des.knora_e import KNORAE
    from deslib.des.knora_u import KNORAU
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.utils.validation import validate_data

    class Pooled(ClassifierMixin, BaseEstimator):
        """A network: its rows of a table, found by the features' last column, which is the image's number."""

        def __init__(self, table_NK: np.ndarray) -> None:
            self.table_NK, self.classes_ = table_NK, np.arange(table_NK.shape[1])

        def fit(self, *_: object) -> "Pooled":
            return self

        def predict_proba(self, features: np.ndarray) -> np.ndarray:
            return self.table_NK[np.rint(features[:, -1] * 1e9).astype(int)]

        def predict(self, features: np.ndarray) -> np.ndarray:
            return self.predict_proba(features).argmax(1)

    if not hasattr(BaseDS, "_validate_data"):  # scikit-learn 1.6 took it away from its estimators; 0.3.7 of DESlib is older
        BaseDS._validate_data = validate_data

    def of(kind: type) -> Choose:
        def choose(features, tables, labels, val, test):
            numbered = np.concatenate([features, np.arange(len(features))[:, None] * 1e-9], axis=1)  # too small to move a neighbour
            chooser = kind([Pooled(table) for table in tables], k=20, DFP=False)
            fit = _report.seconds(lambda: chooser.fit(numbered[val], labels[val]))
            begin = time.perf_counter()
            predicted = chooser.predict(numbered[test])
            return predicted, np.ones((5000, len(names))), fit, time.perf_counter() - begin  # it asks all to see whether they agree

        return choose

    return {f"DESlib {kind.__name__}": of(kind) for kind in (KNORAE, KNORAU, OLA)}
