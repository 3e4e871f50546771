"""`select` where nothing can ever become ready: there are no sockets and no pipes.

It exists so that `selectors`, `subprocess` and `asyncio` can be imported, and so that an asyncio
event loop can wait for its timers.
"""

import time

error = OSError


class _Select:
    """An object, not a function: `selectors` keeps it as a class attribute and must not bind it."""

    def __call__(self, rlist, wlist, xlist, timeout=None, /):
        """Waits for the timeout. Without one it would wait for ever, which is an error."""
        if timeout is None:
            raise OSError("select() without a timeout would never return: the sandbox has no input or output")
        if timeout < 0:
            raise ValueError("timeout must be non-negative")
        if timeout > 0:
            time.sleep(timeout)
        return [], [], []


select = _Select()
