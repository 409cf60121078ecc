"""The last module that the forkserver loads: what was loaded before it is never looked at by the garbage collector again.

A collection writes to every object that it looks at, and so would give each worker its own copy of all those pages. The one
module of cdcd that does something when it is imported: `multiprocessing`'s forkserver has no other hook.
"""

import gc

gc.collect()
gc.freeze()
