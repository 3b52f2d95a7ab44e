"""Sweeps: a grid of runs of one notebook, on this machine or on a cluster, that can be killed at any moment.

    grid     a sweep's YAML, checked
    store    the store of its points, each whole or not there
    point    how a worker runs one
    cluster  where workers are
    run      what would run, and running it
    table    one table of all points
    command  the verb of the command line

What is in the store is not run again unless the code changed. Nothing is
unpickled from a disk. Dask's workers and scheduler trust each other and
unpickle what they send: start them in a network that you trust, or with
Dask's TLS.
"""
