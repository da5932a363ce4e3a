"""The last that the server of `tests.loaded` imports: what stands by then stays.

Each Trainer has everything looked through for garbage when it begins, half a second with all libraries loaded; in a forked
process that copies all of their pages, too.
"""

import gc

gc.collect()
gc.freeze()
