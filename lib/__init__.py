"""The Clean-Priority book's code: a thin core, and wings that use it.

Core: ``data``, ``noise`` and ``models`` (what is trained on what),
``gradients`` and ``layers`` (sample-wise and subset gradients, exactly),
``observe`` (what is measured after an epoch), ``train`` (the loop),
``experiments`` (a configuration, and how it becomes a history), ``records``
and ``runs`` (run once, replay for ever), ``identity`` (which code made a
number). Below them: ``files``, ``paths``, ``progress``, ``checkpoint``,
``hardware``, ``words``.

Wings, none of which imports another: ``press`` (what a chapter is made of),
which the others may use; ``paper`` (its own measurements), ``beyond`` (the
three experiments that go on), ``suspects`` (which labels are wrong),
``sweeps`` (many runs of a notebook); and above them all ``site``, the book.

Inside the book this package is ``lib``, installed from outside it is
``clean_priority``. Importing it imports none of its modules.
"""

import sys

__version__ = "0.2.0"

_other = sys.modules.get("clean_priority" if __name__ == "lib" else "lib")
if getattr(_other, "__file__", None) == __file__:
    raise ImportError(f"this code was imported as {_other.__name__} already: one process knows it by one name")
