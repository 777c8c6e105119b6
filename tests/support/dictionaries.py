"""Two versions of a script, and what a browser that holds the first one asks and reads."""

import base64
import hashlib
import subprocess
import tempfile

import zstandard

from tests.conftest import require_program

OLD = b"".join(b"export const f%d = () => g(%d);\n" % (n, n * n) for n in range(900))
NEW = OLD.replace(b"f400 ", b"renamed ") + b"export default f1;\n"
CODINGS = "gzip, deflate, br, zstd, dcb, dcz"
"""Accept-Encoding of a browser that has a dictionary for the URL."""


def digest_of(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


def named(content: bytes) -> str:
    """The value of Available-Dictionary for a file that the browser holds."""
    return f":{base64.b64encode(digest_of(content)).decode()}:"


def asking(content: bytes) -> dict[str, str]:
    """The fields of a request of a browser that holds the file."""
    return {"Accept-Encoding": CODINGS, "Available-Dictionary": named(content)}


def decoded(difference: bytes, dictionary: bytes) -> bytes:
    """By the program `zstd`. To it the header of RFC 9842 §5 is a frame to be skipped."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(dictionary)
        file.flush()
        command = [require_program("zstd"), "--decompress", "--stdout", "-D", file.name]
        result = subprocess.run(command, input=difference, stdout=subprocess.PIPE, check=True)
        return result.stdout


def frame_facts(difference: bytes) -> zstandard.FrameParameters:
    """What the header of the Zstandard frame says."""
    return zstandard.get_frame_parameters(difference[40:])
