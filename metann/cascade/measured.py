"""What a run of a cascade amounts to: numbers from its record, and the same as a page.

Shapes: N images of the stream.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from metann.cascade.classification import classification_rows
from metann.report.text import macs as macs_text
from metann.report.text import markdown_table


def measure(
    record: Mapping[str, np.ndarray], macs: Sequence[float], class_names: Sequence[str], energy: Mapping[str, Any], batch_size: int
) -> dict[str, Any]:
    """Accuracy, use, cost, latency and energy of a finished run.

    Args:
        record: columns prediction, label, hit, networks_run, latency_ms, batch of every image.
        macs: multiply-accumulates per image of each network.
        class_names: in label order.
        energy: fields of `metann.energy.Energy`.
        batch_size: images answered at once; the latency of an image is that of its batch.
    """
    n = len(record["label"])
    calls = [int((record["networks_run"] > stage).sum()) for stage in range(len(macs))]
    latency_ms = record["latency_ms"]
    _, first = np.unique(record["batch"], return_index=True)
    seconds = float(latency_ms[first].sum()) / 1000
    joules = energy["joules"]
    return {
        "images": n,
        "accuracy": float((record["prediction"] == record["label"]).mean()),
        "classes": classification_rows(record["label"], record["prediction"], class_names),
        "calls": calls,
        "second_network_use": calls[1] / n if len(calls) > 1 else None,
        "memory_hits": int(record["hit"].sum()),
        "macs_per_image": float(np.dot(calls, macs) / n),
        "batch_size": batch_size,
        "latency_ms": {"mean": float(latency_ms.mean())} | {f"p{q}": float(np.percentile(latency_ms, q)) for q in (50, 95, 99)},
        "images_per_second": n / seconds if seconds else None,
        "joules_per_image": None if joules is None else joules / n,
        "energy": dict(energy),
    }


def page(report: Mapping[str, Any]) -> str:
    """The report in Markdown."""
    latency, energy = report["latency_ms"], report["energy"]
    networks = " > ".join(report["networks"])
    of = "an image" if report["batch_size"] == 1 else f"a batch of {report['batch_size']}"
    if report["joules_per_image"] is None:
        joules = f"unknown: {energy['reason']}"
    else:
        idle = "" if energy["idle_watts"] is None else f"; the idle machine draws {energy['idle_watts']:.1f} W"
        joules = f"{report['joules_per_image']:.4g} an image, {energy['joules']:.4g} in all ({energy['source']}, idle draw included{idle})"
    rows = [
        ("networks", networks),
        ("rule", report["rule"]),
        ("images", f"{report['images']:,} ({report['stream']})"),
        ("accuracy", f"{report['accuracy']:.4f}"),
    ]
    if report["second_network_use"] is not None:
        calls = ", ".join(f"{name} {count:,}" for name, count in zip(report["networks"], report["calls"], strict=True))
        rows.append(("second network use", f"{100 * report['second_network_use']:.2f} % of all images; calls: {calls}"))
    rows.append(("memory", report["memory_text"]))
    rows += [
        ("MACs per image", macs_text(report["macs_per_image"])),
        (f"latency of {of}", f"mean {latency['mean']:.3f} ms, p95 {latency['p95']:.3f} ms, p99 {latency['p99']:.3f} ms"),
        ("throughput", f"{report['images_per_second']:.1f} images a second on {report['device']}"),
        ("joules", joules),
        ("tables", report["agreement_text"]),
    ]
    classes = []
    for row in report["classes"]:
        numbers = [f"{row[key]:.4f}" for key in ("precision", "recall", "f1")]
        classes.append([row["name"], *(numbers if row["name"] != "accuracy" else ["", "", numbers[2]]), f"{row['support']}"])
    return (
        f"# {networks}\n\n"
        + markdown_table(["", "what came out"], [list(row) for row in rows])
        + "\n\n"
        + markdown_table(["class", "precision", "recall", "F1", "images"], classes)
        + "\n"
    )
