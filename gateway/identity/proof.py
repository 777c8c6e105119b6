"""A gateway proves that it belongs to this site, before a command sends it the admin token.

The command finds an address and a secret in `plugins/cache/running/`. It sends a random challenge
to `/-/live` at that address. The answer is an HMAC of the challenge and the address, whose key is
made of the secret and admin.token. So

    another program at that address     cannot answer, and learns neither secret nor token
    one that passes the challenge on    gets the answer for the address that it asked at
    a forged file                       does not help: its author does not know admin.token
    a client that collects answers      cannot guess admin.token: the secret has 256 bits
"""

import hmac
import re
import secrets

CHALLENGE_FIELD = "X-Gateway-Challenge"

_CHALLENGE = re.compile(r"[0-9a-f]{64}")


def new_challenge() -> str:
    return secrets.token_hex(32)


class Prover:
    """Answers challenges in a gateway, and judges the answers in a command."""

    def __init__(self, secret: str, admin_token: str) -> None:
        self._key = hmac.digest(secret.encode(), admin_token.encode(), "sha256")

    def answer(self, challenge: str, host: str, port: int | None) -> str | None:
        """`host`, `port`: the gateway's end of the connection. A Unix socket has its path and None.

        None: that is no challenge.
        """
        if not _CHALLENGE.fullmatch(challenge):
            return None
        text = f"{challenge} {host} {'' if port is None else port}"
        return hmac.digest(self._key, text.encode("utf-8", "surrogateescape"), "sha256").hex()

    def accepts(self, answer: object, challenge: str, host: str, port: int | None) -> bool:
        right = self.answer(challenge, host, port)
        is_text = isinstance(answer, str) and answer.isascii()
        return is_text and right is not None and hmac.compare_digest(str(answer), right)
