"""Sweeps: a grid of runs of one notebook, on this machine or on a cluster, that can be killed at any moment.

    grid       a sweep's YAML, checked
    code       which code its points rest on
    store      the store of its points, each whole or not there
    point      how a worker runs one
    in_kernel  what the kernel is told first
    shown      the numbers in an executed notebook
    cluster    where workers are
    named      a cluster that a file names
    run        what would run, and running it
    watch      what is said meanwhile
    table      one table of all points
    results    a page of it
    clean      what a store need not keep
    command    the verb of the command line

What is in the store is not run again unless the code changed. Nothing is
unpickled from a disk. Dask's workers and scheduler trust each other and
unpickle what they send: start them in a network that you trust, or with
Dask's TLS.
"""
