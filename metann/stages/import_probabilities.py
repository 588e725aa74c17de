"""Stage import-probabilities: a table of probabilities made elsewhere becomes a network of this run."""

from pathlib import Path

from metann.config.network import NetworkSection


def import_probabilities(*, name: str, network: NetworkSection, output: Path) -> None:
    """Check a table of class probabilities and write it as probabilities.parquet; no network runs.

    An .npy file holds n x K probabilities, one row per image, with a file of the n true classes beside it. An .npz, .csv or .parquet
    file has columns p_0 .. p_K-1, or one of lists, and, unless labels are given, `label`; its columns `sample_id`, `split` and
    `log_partition` are taken if they are there. A column `file`, `path` or `id` names the images. Without any of these the row number
    is the id, so all tables that are compared need the same row order.

    Parameters
    ----------
    name
        Of the network in this run.
    network
        Its probabilities, labels, split, val_rows and macs.
    output
        The probabilities.parquet to write.
    """
    import numpy as np

    from metann.files.digests import FileDigests
    from metann.tables.imported import read_foreign, rename
    from metann.tables.notices import say
    from metann.tables.probabilities import write_probabilities
    from metann.workflow.outside import digests_of
    from metann.workflow.provenance import stage_code, versions

    made = {"asked": network.model_dump(mode="json", include={"split", "val_rows", "macs"}), "files": digests_of(network, FileDigests())}
    table = rename(read_foreign(network), name, network, versions=versions(), code=stage_code("import_probabilities"), **made)
    write_probabilities(output, table)
    for split in sorted(set(table.split.tolist())):
        part = table.select(split)
        print(f"{split}: {len(part)} images, accuracy {np.mean(part.p_NK.argmax(axis=1) == part.label):.4f}")
    for sentence in table.metadata.get("assumed", ()):
        print(f"assumed: {sentence}")
    say(table.metadata.get("notices", ()))
