"""Stage choose_cascade: which pair of networks to use at which threshold, from the searches of all seeds."""

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from metann.config.cascade import CascadeChoice

TABLES = ("results", "networks", "complementarity", "in_sample", "curves", "chains", "frontier")
"""Read from every search; `ranking`, `pairs`, `choice` and `settings` are made here."""


def choose_cascade(
    *,
    searches: list[Path],
    output: Path,
    options: Annotated[CascadeChoice, Parameter(name="*")] = CascadeChoice(),
) -> None:
    """Rank all pairs by what validation says of them at their cost, and choose the first; of all chains, where they were searched, one.

    Writes tables/cascade_{name}.parquet into the run's folder and cascade.json into the folder of every search: the chosen
    networks, score and answer with that seed's own threshold, as run-cascade reads it.

    Parameters
    ----------
    searches
        Folders made by search-cascade, one for each seed.
    output
        Folder of the run.
    options
        How one cascade is chosen.
    """
    import pandas as pd

    from metann.cascade.choice import chosen_rows, rank_pairs, settings
    from metann.cascade.frontier import cascade_of, settings_of, with_choice
    from metann.config.cascade_answers import way
    from metann.errors import MetannError
    from metann.files.headers import write_sealed_json
    from metann.tables.frames import read_frame, write_frame
    from metann.workflow.provenance import stage_code

    parts = {name: [read_frame(folder / f"{name}.parquet", f"cascade_{name}") for folder in searches] for name in TABLES}
    search, objective = options.search, options.objective
    if not searches:
        raise MetannError("no search given; give the folders that search-cascade wrote")
    facts = [frame.attrs for frame in parts["results"]]
    for folder, found in zip(searches, facts, strict=True):
        for key in ("digest", "class_names", "networks", "grid", "budget", "max_length", "cross_fit"):
            if found.get(key) != facts[0].get(key):
                raise MetannError(f"{folder} was searched with another {key} than {searches[0]}; search both in one run")
    tables: dict[str, pd.DataFrame] = {name: pd.concat(frames, ignore_index=True) for name, frames in parts.items()}
    if tables["results"]["seed"].nunique() != len(searches):
        raise MetannError("two searches are of one seed; give each seed once")
    chains = tables["frontier"]
    fitted = {int(found["seed"]): found.get("temperatures") for found in facts}
    ranking = rank_pairs(tables["results"], tables["complementarity"], tables["networks"], search, objective)
    if ranking.empty:
        asked = f"the target of {facts[0]['target']:.4f}" if objective == "target_accuracy" else f"a budget of {facts[0]['budget']} MACs"
        raise MetannError(f"no pair meets {asked} on validation in every seed; ask for less, or add networks to the configuration")
    choice = chosen_rows(tables["results"], ranking, search, objective)
    # every pair at its best accuracy, whatever the objective is: what the figures compare
    pairs = rank_pairs(tables["results"], tables["complementarity"], tables["networks"], search, "accuracy")
    tables |= {
        "ranking": ranking,
        "pairs": pairs,
        "choice": choice,
        "settings": settings(tables["results"], choice if chains.empty else choice.iloc[:0], facts[0]["confidence"], fitted),
    }
    if not chains.empty:
        targets = [found["target"] for found in facts]
        tables["frontier"] = with_choice(chains, search, objective, targets, facts[0]["budget"])
        of_chains = settings_of(tables["frontier"], facts[0]["confidence"], fitted)
        tables["settings"] = pd.concat([tables["settings"], of_chains], ignore_index=True)
    kept: dict[str, Any] = {key: facts[0].get(key) for key in ("dataset", "digest", "class_names", "networks", "grid", "budget")}
    kept |= {"run": output.resolve().name, "confidence": facts[0]["confidence"], "target": [found["target"] for found in facts]}
    if any("temperatures" in found for found in facts):
        kept["temperatures"] = [found.get("temperatures") for found in facts]
    kept |= {key: facts[0].get(key) for key in ("max_length", "cross_fit")} | {"tried": [found.get("tried", 0) for found in facts]}
    kept |= {
        "seeds": [int(seed) for seed in choice["seed"]],
        "search": search,
        "objective": objective,
        "code": stage_code("choose_cascade"),
    }
    for name, frame in tables.items():
        write_frame(output / "tables" / f"cascade_{name}.parquet", frame, f"cascade_{name}", kept)
    by_seed = {int(frame["seed"].iloc[0]): folder for frame, folder in zip(parts["results"], searches, strict=True)}

    def temperatures(seed: int, networks: list[str]) -> dict[str, list[float]]:
        return {"temperatures": [fitted[seed][name] for name in networks]} if fitted[seed] else {}

    for row in choice.itertuples():
        described = {
            "networks": [row.first, row.second],
            "thresholds": [row.threshold],
            "score": row.score,
            "postcheck": bool(row.postcheck),
            "answer": row.answer,
        }
        write_sealed_json(by_seed[row.seed] / "cascade.json", described | temperatures(row.seed, described["networks"]))
    if not chains.empty:
        for row in tables["frontier"].query("chosen").itertuples():
            described = cascade_of(row)
            write_sealed_json(by_seed[row.seed] / "cascade.json", described | temperatures(row.seed, described["networks"]))
            print(f"seed {row.seed}: {row.chain}, {row.score}, {way(row.answer)}")
        return
    print(f"{choice['first'][0]} > {choice['second'][0]}, {choice['score'][0]}, {way(choice['answer'][0])}")
