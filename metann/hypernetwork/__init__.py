"""Hypernetworks: a generator writes a classifier from a small task vector. Names are imported when they are asked for.

What lies below `results/{run}/hypernetwork/seed_{s}/{experiment}_{generator}/`, every table sealed (`tables/frames.py`; its kind is
`hypernetwork_` and the file's name, `hypernetwork_adapt` and `hypernetwork_curve` in adapt/):

    weights.safetensors        the generator, and the trained z as tensor `z` (one row for each training task)
    training.csv               a row per block of steps: train_loss, train_accuracy, val_loss, val_accuracy, saturation, variance_share
    tasks.parquet              task int16, negative, positive int16, negative_name, positive_name, flipped bool,
                               set (train, val or test: test tasks are the held-out ones), mirror int16 (the task with labels reversed, -1)
    reliance.parquet           task_i, z_j int16 (training tasks), split (val, test), n, correct int32
    codes.parquet              task, z_0 .. z_{d-1}: of training tasks
    layers.parquet             layer (name of the tensor), numbers, variance_share, effective_rank, saturation
    interpolation.parquet      task, mirror, position 0 .. 1, n, correct (test images); only pairs of training tasks
    multiclass.parquet         the project's table of probabilities: ten generated networks, class against the rest
    adapt/{arm}_{shots}.parquet        a row per held-out task and draw: arm, shots, draw, task, steps, learning_rate, trained_numbers,
                               n, correct, correct_positive, n_positive, cross_entropy, auc, steps_to_95
    adapt/{arm}_{shots}_curve.parquet  task, draw, step, support_loss, test_loss, test_accuracy (on the first test images of each class)

Arms that need no images (`zero_shot`, `general_net`) have shots 0 and draw 0, once. Metadata of all: experiment, scheme, held_out,
generator, kind, bound, z, z_size, seed, classifier, numbers (generated), parameters (of the generator), macs (one generated classifier),
digest, dataset, class_names, generator_digest; in adapt/ also generator_digest_after, frozen, start and the rates that were tried;
in multiclass.parquet macs and parameters are those of all ten.
"""

from metann.registry import lazy_names

__getattr__ = lazy_names(
    __name__,
    {
        "Task": "metann.hypernetwork.tasks",
        "build_generator": "metann.hypernetwork.generators",
        "build_tasks": "metann.hypernetwork.tasks",
        "reliance": "metann.hypernetwork.measures",
    },
)
