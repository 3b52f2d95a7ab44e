"""The Clean-Priority book's code: a thin core, and wings that use it.

Core: ``data``, ``noise`` and ``models`` (what is trained on what),
``gradients`` and ``layers`` (sample-wise and subset gradients, exactly),
``observe`` (what is measured after an epoch), ``train`` (the loop),
``experiments`` (a configuration, and how it becomes a history), ``records``
and ``runs`` (run once, replay for ever), ``identity`` (which code made a
number). Below them: ``files``, ``paths``, ``progress``, ``checkpoint``,
``hardware``, ``words``.

``press`` (what a chapter is made of) stands on the core. The wings use both
and not each other: ``paper`` (its own measurements), ``beyond`` (the three
experiments that go on), ``suspects`` (which labels are wrong), ``sweeps``
(many runs of a notebook). Above them all is ``site``, the book.

Inside the book this package is ``lib``, installed from outside it is
``clean_priority``. Importing it imports none of its modules.
"""

import sys

__version__ = "0.3.0"

_other = sys.modules.get("clean_priority" if __name__ == "lib" else "lib")
if getattr(_other, "__file__", None) == __file__:
    raise ImportError(f"this code was imported as {_other.__name__} already: one process knows it by one name")
