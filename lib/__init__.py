"""The thin module behind the Clean-Priority book.

Data runs one way, and a room imports only the rooms above it in this list:

    data, noise, models      what is trained on what
    gradients                sample-wise and subset gradients, exactly
    observe                  what is measured after an epoch, one tidy row
    train                    the loop
    experiments              a configuration, and how it becomes a history
    angles, kernels          what is measured without training: sample-wise angles; kernel machines
    replicas, dual_gradient  many small networks at once; learning from a noisy and a clean gradient
    derivatives              directional derivatives of the loss, penalised and measured at boundaries
    labelled, pictures       what a reader brings: arrays, folders, tables, images from files
    stopped, tangents        a training that stops by itself; derivatives of logits along those of their class
    findings, likelihood     what was found about labels, in words; how many are wrong, by likelihood
    suspects                 which labels are wrong: the signals, and what they say
    comparison, stopping     the same with errors that are known, against other methods; rules for stopping
    published                the most suspicious labels of data sets as they are
    presets                  the settings that several chapters use
    records                  run once, replay for ever
    claims, figures          verdicts and pictures drawn from histories
    readings, scaling        what chapters read off tables; finite-size scaling of many runs
    dynamics                 the figure of learning dynamics and its claims
    chapters                 notebooks run from outside
    points, cluster, sweep   many of them: one point and its store, where points run, grid and table
    status, site             the page of sweeps, and the book built

Below them all lie paths, files, progress, stamps and show: where things are,
files that are whole or not there, bars, what made a result, and what a
notebook displays.

Importing ``lib`` imports none of them, and none of them needs Jupyter: only
``chapters``, ``points``, ``cluster`` and ``site`` reach for papermill, Dask
and jupyter-book, and only when asked to run or build something.
"""

__version__ = "0.1.0"
