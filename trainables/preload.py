"""Imports what every pack needs, for a worker that waits for its first one. Whoever imports this, imports the library's
models, too: half of a worker's start, and otherwise imported with the first backbone.

Python looks for circles among its objects while it imports, which is a quarter of the time. What cannot be imported is
told by the pack that needs it.
"""

from __future__ import annotations

import gc
from contextlib import suppress

gc.disable()
try:
    with suppress(Exception):
        import transformers.modeling_layers
        import transformers.modeling_utils  # noqa: F401

        import trainables.training  # noqa: F401
finally:
    gc.freeze()  # modules stay, and need not be looked through again
    gc.enable()
