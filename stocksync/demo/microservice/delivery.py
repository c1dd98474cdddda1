"""How a reply gets to the caller: whole, or as a failing machine would do it."""

import asyncio
import json
import socket
import struct

from aiohttp import web

from stocksync.demo.microservice.behaviour import Reply
from stocksync.demo.microservice.faults import Delivery

DRIP_SECONDS = 0.1
"""Between two bytes: a body outlives any timeout that a caller puts around one read."""

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER: on, for no time
_ENDLESS_CHUNK = b" " * 65_536


async def deliver(request: web.BaseRequest, reply: Reply, delivery: Delivery) -> web.StreamResponse:
    """Answer the request; a caller that has gone is none of our business."""
    is_text = isinstance(reply.content, str)
    body = (reply.content if is_text else json.dumps(reply.content, ensure_ascii=False)).encode()
    kind = "text/plain; charset=utf-8" if is_text else "application/json"
    headers = {"Content-Type": kind, **reply.headers}
    match delivery:
        case Delivery.WHOLE:
            return web.Response(status=reply.status, body=body, headers=headers)
        case Delivery.RESET:
            _reset(request)
            return web.Response()
    response = web.StreamResponse(status=reply.status, headers=headers)
    if delivery is Delivery.ENDLESS:
        response.enable_chunked_encoding()
    else:
        response.content_length = len(body)
    await response.prepare(request)
    match delivery:
        case Delivery.HALF:
            await response.write(body[: len(body) // 2])
            if request.transport:
                request.transport.close()
        case Delivery.DRIP:
            for byte in body:
                await response.write(bytes([byte]))
                await asyncio.sleep(DRIP_SECONDS)
        case Delivery.ENDLESS:
            while True:
                await response.write(_ENDLESS_CHUNK)
    return response


def _reset(request: web.BaseRequest) -> None:
    if request.transport:
        connection: socket.socket = request.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        request.transport.abort()
