"""What a run of a cascade amounts to: numbers from its record, and the same as a page.

Shapes: N images of the stream.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from metann.cascade.rule import Decisions
from metann.cascade.workload import Workload
from metann.report.text import macs as macs_text
from metann.report.text import markdown_table
from metann.statistics.classification import classification_rows

if TYPE_CHECKING:
    from metann.cascade.model import Cascade


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
    calls = [int((record["networks_run"] > number).sum()) for number in range(len(macs))]
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


def describe(chain: "Cascade", work: Workload, split: str, device: str, seed: int) -> dict[str, Any]:
    """What was run, in words and numbers: a loaded cascade after it answered the stream `work`."""
    names = [member.name for member in chain.members]
    facts = {
        "networks": names,
        "thresholds": chain.thresholds,
        "score": chain.score,
        "postcheck": chain.postcheck,
        "answer": chain.answer_rule,
    }
    facts |= {"macs": [member.macs for member in chain.members], "split": split, "device": device, "seed": seed}
    duplicates, turns = int(work.duplicate_M.sum()), int((work.turn_M > 0).sum())
    memory = chain.memory
    said = "none"
    if memory is not None:
        share = 100 * memory.hits / max(memory.hits + memory.misses, 1)
        said = f"{memory.hits:,} hits ({share:.2f} %), {memory.misses:,} misses, {memory.false_hits:,} false hits"
        facts["memory"] = {"hits": memory.hits, "misses": memory.misses, "false_hits": memory.false_hits, "capacity": memory.capacity}
    return facts | {"rule": chain.rule_text, "memory_text": said, "stream": f"{split}; {duplicates:,} duplicates, {turns:,} of them turned"}


def compare(record: Mapping[str, np.ndarray], decisions: Decisions | None) -> dict[str, Any]:
    """On how many images a run and the tables of its networks disagree, in the answer or in the networks that were asked.

    Args:
        record: columns sample_id, turn, networks_run, prediction.
        decisions: of the tables on the same images, row by row; None where there are none. Turned images and memory hits
            have no row in tables and are left out.
    """
    if decisions is None:
        return {"compared": None, "disagreements": None, "agreement_text": "not compared"}
    ran = (record["networks_run"] > 0) & (record["turn"] == "none")
    differ = ran & ((decisions.prediction_N != record["prediction"]) | (decisions.asked_N != record["networks_run"]))
    examples = [int(sample) for sample in record["sample_id"][differ][:10]]
    compared, count = int(ran.sum()), int(differ.sum())
    said = f"the same answer, from the same network, on all {compared:,} images that ran as they are"
    if count:
        said = f"ANOTHER answer or network than the tables on {count:,} of {compared:,} images (sample_id {', '.join(map(str, examples))})"
    return {"compared": compared, "disagreements": count, "differing": examples, "agreement_text": said}


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
