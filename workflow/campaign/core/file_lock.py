"""flock, where the file system has it: the kernel gives it back when its holder dies."""

import errno
import fcntl
from typing import IO, Any

# NFS without lockd, some FUSE file systems, Lustre mounted without `flock`.
_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP})


def try_lock(stream: IO[Any], how: int) -> bool | None:
    """Whether the lock was got (fcntl.LOCK_EX or LOCK_SH); None where the file system has no locks. Raises OSError."""
    try:
        fcntl.flock(stream, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return None
        raise
    return True
