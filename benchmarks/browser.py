"""What Chromium sends for a script that a page fetches with a credential.

Recorded from Debian's Chromium 156: fields, order, spelling. Servers spend a good part of a
request on reading these fields, so a bare `GET` would flatter them.
"""

from collections.abc import Mapping


def script_request(token: str, accept_encoding: str) -> Mapping[str, str]:
    """Header fields, without Host."""
    return {
        "Connection": "keep-alive",
        "sec-ch-ua-platform": '"Linux"',
        "Authorization": f"Bearer {token}",
        "User-Agent": (
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)"
            " Chrome/156.0.0.0 Safari/537.36"
        ),
        "sec-ch-ua": '"Not:A-Brand";v="8", "Chromium";v="156"',
        "sec-ch-ua-mobile": "?0",
        "Accept": "*/*",
        "Sec-Fetch-Site": "same-origin",
        "Sec-Fetch-Mode": "cors",
        "Sec-Fetch-Dest": "empty",
        "Referer": "http://127.0.0.1/app/",
        "Accept-Encoding": accept_encoding,
        "Accept-Language": "en-US,en;q=0.9",
    }
