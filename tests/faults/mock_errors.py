"""Errors that librdkafka's mock cluster answers with: in C alone, not in the Python client.

The client's object begins, after what every Python object has, with the handle of the library.
"""

import ctypes
from pathlib import Path

from tests.kafka import MockCluster

PRODUCE = 0  # the request's number in Kafka's protocol
MESSAGE_TOO_LARGE = 10  # not worth a retry: the report says so at once
REQUEST_TIMED_OUT = 7  # the client tries again


def push_errors(cluster: MockCluster, *codes: int, request: int = PRODUCE) -> None:
    """The next requests of this kind are answered with these errors, one each."""
    library = ctypes.CDLL(_find_library())
    library.rd_kafka_handle_mock_cluster.restype = ctypes.c_void_p
    library.rd_kafka_handle_mock_cluster.argtypes = [ctypes.c_void_p]
    handle = ctypes.c_void_p.from_address(id(cluster.client) + object.__basicsize__).value
    mock = library.rd_kafka_handle_mock_cluster(handle)
    assert mock
    push = library.rd_kafka_mock_push_request_errors_array
    push.argtypes = [
        *(ctypes.c_void_p, ctypes.c_int16, ctypes.c_size_t),
        ctypes.POINTER(ctypes.c_int),
    ]
    push(mock, request, len(codes), (ctypes.c_int * len(codes))(*codes))


def _find_library() -> str:
    """The copy that this process has loaded already."""
    lines = Path("/proc/self/maps").read_text().splitlines()
    return next(line.split()[-1] for line in lines if "librdkafka" in line)
