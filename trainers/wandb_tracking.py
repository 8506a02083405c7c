"""Weights & Biases, never at the cost of the training."""

from __future__ import annotations

import os
import socket
from urllib.parse import urlparse

from fai_rl.launch.events import EventWriter
from fai_rl.launch.run_folder import RunFolder
from fai_rl.recipes.recipe import Recipe
from fai_rl.utils.redaction import redact

_SECONDS = 3.0
_INIT_SECONDS = 20.0
_DEFAULT_SERVER = "https://api.wandb.ai"


def start(recipe: Recipe, run: RunFolder, events: EventWriter) -> bool:
    """Start the tracker's run, offline where it can't be online, and say so.

    transformers' own callback then finds the run and logs to it.

    Args:
        recipe: The recipe.
        run: The run's folder, where the tracker keeps its files.
        events: Where to tell.

    Returns:
        Whether the tracker runs.
    """
    settings = recipe.wandb
    server = settings.base_url or os.environ.get("WANDB_BASE_URL") or _DEFAULT_SERVER
    if settings.base_url:
        os.environ["WANDB_BASE_URL"] = settings.base_url
    mode = os.environ.get("WANDB_MODE")
    if mode is None:
        why = _why_offline(server)
        mode = "offline" if why else "online"
        if why:
            events.send(
                "warning",
                text=f"wandb: {why}; the run is kept offline in {run.path / 'wandb'} "
                "(wandb sync uploads it later)",
            )
    os.environ.setdefault("WANDB_SILENT", "true")
    modes = ["online", "offline"] if mode == "online" else [mode]
    for attempt in modes:
        try:
            _init(recipe, run, attempt)
        except Exception as error:  # a tracker that fails must not take the training with it
            text = str(error).splitlines()[0]
            then = "trying offline" if attempt != modes[-1] else "training goes on without it"
            events.send("warning", text=f"wandb: can't start {attempt} ({text}); {then}")
        else:
            return True
    return False


def _init(recipe: Recipe, run: RunFolder, mode: str) -> None:
    import wandb

    settings = recipe.wandb
    wandb.init(
        project=settings.project or "fai-rl",
        entity=settings.entity,
        name=settings.name or run.path.name,
        tags=settings.tags or None,
        dir=str(run.path),
        mode=mode,  # type: ignore[arg-type]
        config=redact(recipe.as_dict()),
        # The tracker would store the command line, the environment and the log.
        settings=wandb.Settings(
            console="off",
            save_code=False,
            disable_git=True,
            x_disable_meta=True,
            init_timeout=_INIT_SECONDS,
        ),
    )


def _why_offline(server: str) -> str | None:
    """Return why the server can't be used, or None."""
    import wandb

    if not os.environ.get("WANDB_API_KEY") and not wandb.api.api_key:
        return "no key (WANDB_API_KEY is not set, and nobody ran wandb login)"
    address = urlparse(server)
    port = address.port or (80 if address.scheme == "http" else 443)
    try:
        socket.create_connection((address.hostname or server, port), timeout=_SECONDS).close()
    except OSError as error:
        return f"{server} can't be reached ({error.strerror or error})"
    return None
