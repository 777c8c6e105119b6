"""What went wrong, in words for a log line: any exception, also one of Python or of a library."""

import os
import re

# As asyncio writes the address that it cannot connect to.
_ADDRESS = re.compile(r"\('([^']*)', (\d+)(?:, \d+, \d+)?\)")
_NUMBER = re.compile(r"\[Errno -?\d+\] ")
_WORDS = re.compile(r"(?<=[a-z])(?=[A-Z])")


def sentence_of(error: BaseException) -> str:
    """What went wrong, for a log line, without Python's notation:
    `No space left on device: /srv/plugins/cache/a`.
    """
    text = str(error)
    if isinstance(error, OSError) and error.strerror:
        names = [os.fsdecode(name) for name in (error.filename, error.filename2) if name]
        text = ": ".join([error.strerror, *names])
    elif not text or (type(error).__module__ == "builtins" and not isinstance(error, OSError)):
        # The text of a KeyError is the key alone.
        kind = _WORDS.sub(" ", type(error).__name__).lower()
        text = f"{kind}: {text}" if text else kind
    return _ADDRESS.sub(r"\1, port \2", _NUMBER.sub("", text))
