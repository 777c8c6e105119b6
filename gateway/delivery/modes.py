"""The table of modes: which of them each value of `delivery.mode` (settings.py) uses."""

from collections.abc import Sequence

from gateway.delivery import DeliveryMode
from gateway.delivery.accel import AccelRedirect
from gateway.delivery.file import FromFile
from gateway.delivery.memory import FromMemory
from gateway.disk.encoder import Encoder
from gateway.disk.storage import PluginStorage
from gateway.settings import Settings


def delivery_modes(
    settings: Settings, storage: PluginStorage, encoder: Encoder | None
) -> Sequence[DeliveryMode]:
    """The modes of these settings. A request takes the first one that can send its file."""
    direct = (FromMemory(), FromFile(storage))
    table: dict[str, Sequence[DeliveryMode]] = {
        "direct": direct,
        "authorize": direct,  # the proxy sends what it has; the gateway sends the rest
        "accel": (AccelRedirect(storage, encoder, settings.delivery.accel_prefix),),
    }
    return table[settings.delivery.mode]
