"""Imported once all else is, by the tests and by the server of `tests.loaded`: what stands by then stays.

Each Trainer has everything looked through for garbage when it begins, half a second with all libraries loaded; in a forked
process that copies all of their pages, too.
"""

import gc

gc.collect()
gc.freeze()
