"""What can be known of a configuration's hypernetworks before any job runs."""

from metann.config.hypernetwork import HypernetworkSection
from metann.errors import MetannError
from metann.hypernetwork.tasks import assign_sets, build_tasks


def check_experiments(section: HypernetworkSection, classes: int) -> None:
    """Build the tasks of every experiment for so many classes.

    Raises:
        MetannError: too few classes, an odd number of them where they are paired, too many tasks held out, or a one-hot z that is too
            short for its training tasks.
    """
    for name, experiment in section.experiments.items():
        # The anchor's name is compared with the classes' when they are read.
        options = {key: value for key, value in experiment.options.items() if key != "anchor"}
        try:
            tasks = build_tasks(experiment.scheme, [str(k) for k in range(classes)], **options)
            trained = assign_sets(tasks, experiment.held_out, experiment.test, experiment.validation, experiment.seed).count("train")
        except MetannError as error:
            raise MetannError(f"hypernetwork.experiments.{name}: {error}") from None
        for generator, settings in section.generators.items():
            if settings.z == "fixed" and settings.z_size < trained and settings.kind not in ("separate", "general"):
                raise MetannError(
                    f"hypernetwork.generators.{generator}: z is fixed and one-hot, and experiment {name} trains {trained} tasks; "
                    f"give z_size {trained} or more, or z: learned"
                )
