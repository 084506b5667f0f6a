"""What goes wrong in a store, as an `OSError`: whose number tells a mistake of the user from a fault of the store."""

import contextlib
import errno
import os
from collections.abc import Iterator

from seg_pipeline.plurals import counted

# What HDFS, which gives no status of HTTP to its client, calls the faults that are no mistake of the user.
_HDFS_NUMBERS = {
    'AccessControlException': errno.EACCES,
    'SecurityException': errno.EACCES,
    'DSQuotaExceededException': errno.EDQUOT,
    'NSQuotaExceededException': errno.EDQUOT,
    'ParentNotDirectoryException': errno.ENOTDIR,
    'FileAlreadyExistsException': errno.EINVAL,
    'IllegalArgumentException': errno.EINVAL,
    'InvalidPathException': errno.EINVAL,
}


class FileTooLargeError(OSError):
    """A file has more bytes than the caller accepts.

    Attributes:
        num_bytes: how many it has; where the store was not asked for that, one more than the caller accepts.
    """

    def __init__(self, path: str, num_bytes: int) -> None:
        super().__init__(f'{path}: {counted(num_bytes, "byte")}')
        self.filename = path
        self.num_bytes = num_bytes


@contextlib.contextmanager
def os_errors(path: str) -> Iterator[None]:
    """Turns whatever a store's library raises into an `OSError` with the address as its `filename`.

    Only calls of the library belong in the block, never a `yield` to a caller: what the caller raises must reach the
    caller's own handlers unchanged.
    """
    try:
        yield
    except FileTooLargeError:
        raise
    except FileNotFoundError as error:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path) from error
    except OSError as error:  # the local disk is full, or a library's own kind of OSError, often without a number
        message = error.strerror or ' '.join(str(error).split())
        raise OSError(error.errno or errno.EIO, message, path) from error
    except Exception as error:
        raise OSError(_number(error), ' '.join(str(error).split()), path) from error


def _number(error: BaseException) -> int:
    """The number for an error of a store's library: EIO where the store or the network is at fault.

    The libraries hide the status of the answer in three ways, and some in the error that led to theirs.
    """
    cause: BaseException | None = error
    while cause is not None:
        if (number := _HDFS_NUMBERS.get(str(getattr(cause, 'exception', None)))) is not None:
            return number
        if (status := _http_status(cause)) is not None:
            return _number_of_status(status)
        cause = cause.__cause__ or cause.__context__
    return errno.EIO


def _http_status(error: BaseException) -> int | None:
    details = getattr(error, 'exception_details', None)  # Beam's, with an error for each file
    if details:
        return next((status for each in details.values() if (status := _http_status(each)) is not None), None)
    code = getattr(error, 'code', None)  # Beam's own for S3, and Google's
    if isinstance(code, int):
        return int(code)
    response = getattr(error, 'response', None)
    if isinstance(response, dict):  # boto3's
        status = response.get('ResponseMetadata', {}).get('HTTPStatusCode')
        return status if isinstance(status, int) else None
    return None


def _number_of_status(status: int) -> int:
    if status in (401, 403):
        return errno.EACCES
    # 408 and 429 ask to try again later.
    return errno.EINVAL if 400 <= status < 500 and status not in (408, 429) else errno.EIO
