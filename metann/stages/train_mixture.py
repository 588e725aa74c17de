"""Stage train_mixture: experts and gate of one setting, trained together in its phases. A dense control is one expert alone."""

from pathlib import Path

from metann.errors import MetannError


def train_mixture(
    *,
    setting: str,
    data: Path,
    seed: int,
    output: Path,
    sources: list[str] | None = None,
    embeddings: list[str] | None = None,
) -> None:
    """Train one mixture on the training images; each phase keeps its best validation epoch.

    Writes weights.safetensors and training.csv into `output`. Killed at any moment and started again, it resumes from its checkpoint and
    ends with the same weights on the same machine.

    Parameters
    ----------
    setting
        A preset such as "top_2 + importance(0.2)", or all keys of a setting as JSON.
    data
        Folder made by prepare-data.
    seed
        Of this run: 0, 1, 2 ...
    output
        Folder to write into.
    sources
        Weights of the mixtures that a phase starts from, each as NAME=PATH with the name that the setting gives it.
    embeddings
        The same of the networks whose features the regulariser sample_similarity compares.
    """
    import hashlib
    import json

    from metann.compute.normalise import Normalisation
    from metann.compute.process import start_torch
    from metann.config.mixture_setting import SettingSection, expand
    from metann.config.section import read_section
    from metann.data.prepared import read_prepared
    from metann.files.digests import FileDigests, own_sources
    from metann.mixture.build import Shape, describe, matched
    from metann.mixture.embedding import embedding
    from metann.mixture.parts import parts_of
    from metann.mixture.phases import MixtureTrainer
    from metann.mixture.run_folder import load_mixture, save_mixture
    from metann.training.images import LabelledImages
    from metann.training.loop import run_epochs
    from metann.weights.files import load_weights
    from metann.workflow.outside import digest_of_files
    from metann.workflow.provenance import stage_code, versions

    try:
        given = json.loads(setting) if setting.lstrip().startswith("{") else setting
    except json.JSONDecodeError as error:
        raise MetannError(f"the setting is not JSON ({error}); write a preset, or all keys of a setting as JSON") from None
    chosen = read_section(SettingSection, expand(given, {}), "setting")
    code = stage_code("train_mixture", architectures=chosen.architectures())
    device = start_torch(chosen.training.device, chosen.training.threads)
    prepared = read_prepared(data)
    info, samples = prepared.info, prepared.samples
    shape = Shape(len(info.class_names), info.channels, info.image_size)
    chosen = matched(chosen, shape)
    class_sets = chosen.experts.sets_of(shape.classes)
    started, spaces = (
        _files(flag, names, given or [])
        for flag, names, given in (("sources", chosen.needs_phases_of(), sources), ("embeddings", chosen.embeddings(), embeddings))
    )
    same = {"class_names": list(info.class_names), "digest": info.digest}
    parts = {name: parts_of(load_mixture(path, same)[0].to(device)) for name, path in started.items()}
    embeds = {name: embedding(*load_weights(path), device, (info.channels, info.image_size)) for name, path in spaces.items()}

    trainer = MixtureTrainer(
        chosen,
        shape,
        LabelledImages.of(prepared.images_NCHW, samples.label, samples.rows("train")).to(device),
        LabelledImages.of(prepared.images_NCHW, samples.label, samples.rows("val")).to(device),
        Normalisation(info.mean, info.std),
        seed,
        parts,
        embeds,
    )
    used = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in (started | spaces).items()}
    names_all = json.dumps([chosen.model_dump(mode="json"), seed, info.digest, used, code], sort_keys=True)
    run_epochs(
        trainer,
        output,
        epochs=trainer.ends[-1],
        key=hashlib.sha256(names_all.encode()).hexdigest(),
        better=trainer.better,
        early_stop=chosen.training.early_stop,
        device=device,
        cure=f"lower learning_rate (now {chosen.training.learning_rate})",
    )
    header = (
        same
        | {
            "num_classes": shape.classes,
            "channels": info.channels,
            "image_size": info.image_size,
            "mean": list(info.mean),
            "std": list(info.std),
            "dataset": info.name,
            "setting": chosen.name,
            "preset": chosen.preset,
            "seed": seed,
            "class_sets": class_sets or None,
            # As the workflow names them: those that no stage of the run made.
            "files": digest_of_files([path for name, path in (started | spaces).items() if str(path) == name], FileDigests()),
            "phases": [phase.model_dump(mode="json") for phase in chosen.phases],
            "code": code,
            "versions": versions(),
        }
        | own_sources(chosen.architectures())
    )
    save_mixture(output / "weights.safetensors", trainer.mixture, header | describe(trainer.mixture.setting, shape))
    (output / "checkpoint.pt").unlink(missing_ok=True)


def _files(flag: str, names: tuple[str, ...], given: list[str]) -> dict[str, Path]:
    """The file of each name: as NAME=PATH says, or the name itself.

    Raises:
        MetannError: a name without a file.
    """
    there = dict(text.partition("=")[::2] for text in given)
    found = {name: Path(there.get(name, name)) for name in names}
    for name, path in found.items():
        if not path.is_file():
            raise MetannError(f"the setting names {name!r}, and {path} is no file; give its weights as --{flag}={name}=PATH")
    return found
