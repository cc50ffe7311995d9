"""The client's address, as far as it can be believed; a face."""

from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from django.conf import settings
from django.http import HttpRequest


def read_client_address(request: HttpRequest) -> str:
    """The nearest address that is no proxy of ours; one /64 of IPv6 counts as one client.

    X-Forwarded-For is read from the right, and only as far as trusted proxies wrote it: what
    stands left of the first stranger is the stranger's own claim.
    """
    address: str = request.META.get("REMOTE_ADDR") or "unknown"
    trusted = _read_networks(tuple(settings.TRUSTED_PROXIES))
    if trusted and _is_trusted(address, trusted):
        forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "")
        for hop in reversed([part.strip() for part in forwarded.split(",") if part.strip()]):
            if not _is_address(hop):
                break
            address = hop
            if not _is_trusted(hop, trusted):
                break
    return _group(address)


@lru_cache(maxsize=8)
def _read_networks(networks: tuple[str, ...]) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(ip_network(network, strict=False) for network in networks)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _is_trusted(text: str, trusted: tuple[IPv4Network | IPv6Network, ...]) -> bool:
    return _is_address(text) and any(ip_address(text) in network for network in trusted)


def _group(text: str) -> str:
    if not _is_address(text):
        return "unknown"
    address = ip_address(text)
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ip_network((address, 64), strict=False))
    return str(address)
