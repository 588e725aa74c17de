"""Stage export_gate: what a trained mixture says of every image: its gate, each of its experts, and all together."""

from pathlib import Path
from typing import Literal


def export_gate(
    *,
    weights: Path,
    data: Path,
    output: Path,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    threads: int = 1,
    setting: str | None = None,
    seed: int | None = None,
) -> None:
    """Write one mixture's answers for all splits, in eval mode and routed as in evaluation.

    Parameters
    ----------
    weights
        weights.safetensors of train-mixture.
    data
        Folder made by prepare-data.
    output
        The gate.parquet to write.
    device
        Where to compute; auto takes CUDA where it is.
    threads
        Torch threads on the CPU.
    setting
        The setting that the weights have to be of.
    seed
        The seed that they have to be of.
    """
    import numpy as np
    import torch

    from metann.compute.normalise import Normalisation
    from metann.compute.process import start_torch
    from metann.data.prepared import read_prepared
    from metann.mixture.answers import answer, macs_of
    from metann.mixture.build import Costs
    from metann.mixture.run_folder import load_mixture
    from metann.tables.probabilities import write_gate
    from metann.tables.samples import Gate
    from metann.workflow.provenance import stage_code, versions

    target = start_torch(device, threads)
    prepared = read_prepared(data)
    info, samples = prepared.info, prepared.samples
    asked_for = {key: value for key, value in (("setting", setting), ("seed", seed)) if value is not None}
    mixture, header = load_mixture(weights, {"class_names": list(info.class_names), "digest": info.digest} | asked_for)
    # Every expert runs on every image here: the table has what each of them alone would say.
    mixture.setting = mixture.setting.model_copy(update={"compute": "dense"})
    images, labels = torch.from_numpy(np.array(prepared.images_NCHW)), torch.from_numpy(samples.label.astype(np.int64))
    said = answer(mixture.to(target), images, Normalisation(tuple(header["mean"]), tuple(header["std"])), labels)
    kept = (
        "dataset",
        "digest",
        "class_names",
        "setting",
        "preset",
        "seed",
        "parameters",
        "architecture",
        "class_sets",
        "options",
        "phases",
    )
    metadata = {key: header[key] for key in kept} | {
        "gate_macs": header["gate_macs"],
        "expert_macs": header["expert_macs"],
        "experts": header["experts"],
        "oracle": mixture.setting.gate.needs_labels,
        "normalisation": {"mean": header["mean"], "std": header["std"]},
        "versions": versions(),
        "code": stage_code("export_gate", architectures=mixture.setting.architectures()),
    }
    table = Gate(
        samples.sample_id,
        samples.split,
        samples.label,
        metadata,
        gate_NE=said.gate_NE,
        expert=said.expert_N,
        answer_NE=said.said_NE,
        p_NK=said.p_NK,
        macs=macs_of(said.ran_NE, Costs(header["parameters"], header["gate_macs"], tuple(header["expert_macs"]))).astype(np.float64),
    )
    write_gate(output, table)
    for split in dict.fromkeys(table.split.tolist()):
        part = table.select(split)
        print(f"{split}: {len(part)} images, accuracy {np.mean(part.prediction == part.label):.4f}, {part.macs.mean():,.0f} MACs an image")
