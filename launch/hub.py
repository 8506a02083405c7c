"""Whether the Hugging Face hub can be reached, known in seconds instead of after many retries."""

from __future__ import annotations

import os
import socket
import threading
from urllib.parse import urlparse

_SECONDS = 3.0
_DEFAULT = "https://huggingface.co"


def why_unreachable() -> str | None:
    """Return why the hub can't be used from here, or None where it can or nobody can tell.

    Behind a proxy only a real request would tell, so none is taken for reachable.
    """
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        return "HF_HUB_OFFLINE is set"
    if any(os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY")):
        return None
    address = urlparse(os.environ.get("HF_ENDPOINT") or _DEFAULT)
    host, port = address.hostname or "", address.port or (80 if address.scheme == "http" else 443)
    answer: list[str | None] = [f"{host} doesn't answer"]

    def knock() -> None:
        try:
            socket.create_connection((host, port), timeout=_SECONDS).close()
            answer[0] = None
        except OSError as error:
            answer[0] = f"{host} can't be reached ({error.strerror or error})"

    # Looking a name up has no time limit of its own.
    thread = threading.Thread(target=knock, daemon=True)
    thread.start()
    thread.join(_SECONDS + 1)
    return answer[0]
