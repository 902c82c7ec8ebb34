"""A link does to what passes what it is told to."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from primacy.testing.changes import Changes
from primacy.testing.etcd import PeerLink
from primacy.testing.link import Link, Swallow


async def repeat(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A server that says everything again."""
    with contextlib.suppress(OSError):
        while data := await reader.read(100):
            writer.write(data)
    writer.close()


@contextlib.asynccontextmanager
async def echo() -> AsyncIterator[tuple[Link, asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection through a link to such a server."""
    server = await asyncio.start_server(repeat, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    link = await Link.open(f"{host}:{port}")
    to_host, _, to_port = link.address.rpartition(":")
    reader, writer = await asyncio.open_connection(to_host, int(to_port))
    writer.write(b"first")
    assert await reader.readexactly(5) == b"first"
    yield link, reader, writer
    writer.close()
    await link.close()
    server.close()


@pytest.mark.parametrize("way", ["to_server", "to_client"])
async def test_a_silent_link_holds_what_it_was_given_and_hands_it_on_when_healed(way: str) -> None:
    async with echo() as (link, reader, writer):
        getattr(link, way).silence()
        writer.write(b"held")
        answer = asyncio.create_task(reader.readexactly(4))
        done, _ = await asyncio.wait([answer], timeout=0.2)
        assert not done
        link.heal()
        assert await asyncio.wait_for(answer, 5) == b"held"


async def test_a_broken_link_resets_old_and_new_connections_until_it_is_healed() -> None:
    async with echo() as (link, reader, _):
        link.break_()
        with pytest.raises(ConnectionError):
            await asyncio.wait_for(reader.readexactly(1), 5)
        host, _, port = link.address.rpartition(":")
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            again, writer = await asyncio.open_connection(host, int(port))
            writer.write(b"x")
            await asyncio.wait_for(again.readexactly(1), 5)
        link.heal()
        again, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"x")
        assert await asyncio.wait_for(again.readexactly(1), 5) == b"x"
        writer.close()


async def test_a_slow_link_takes_its_round_trip_and_keeps_the_order() -> None:
    async with echo() as (link, reader, writer):
        link.slow(0.2)
        begun = asyncio.get_running_loop().time()
        for i in range(10):
            writer.write(bytes([i]))
            await asyncio.sleep(0.005)
        assert await asyncio.wait_for(reader.readexactly(10), 5) == bytes(range(10))
        assert 0.2 <= asyncio.get_running_loop().time() - begun < 1.5, "pieces do not wait for each other"


async def test_where_packets_vanish_no_connection_is_made_or_refused() -> None:
    swallow = Swallow()
    host, _, port = swallow.address.rpartition(":")
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(asyncio.open_connection(host, int(port)), 0.5)
    swallow.close()


async def test_what_a_client_sent_before_it_went_still_arrives() -> None:
    arrived: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"to nobody")
        arrived.set_result(await reader.read())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    link = await Link.open(f"{host}:{port}")
    to_host, _, to_port = link.address.rpartition(":")
    reader, writer = await asyncio.open_connection(to_host, int(to_port))
    assert await reader.readexactly(9) == b"to nobody"
    link.to_server.silence()
    link.to_server.passed = bytearray()
    writer.write(b"held")
    await Changes().until(lambda: link.to_server.held == 4, 5, "the link having it")
    writer.transport.abort()
    link.heal()
    assert await asyncio.wait_for(arrived, 5) == link.to_server.passed == b"held"
    assert not link.to_server.held
    await link.close()
    server.close()


async def test_a_members_link_can_be_silent_to_one_peer_alone() -> None:
    server = await asyncio.start_server(repeat, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    link = await PeerLink.open(f"{host}:{port}")
    link.of = {name: await Link.open(link.target) for name in ("a:1", "b:2")}
    link.of["a:1"].silence()
    to_host, _, to_port = link.address.rpartition(":")
    answers, writers = {}, []
    for name in link.of:
        head = f"GET /raft HTTP/1.1\r\nX-Peerurls: http://{name}\r\n\r\n".encode()
        reader, writer = await asyncio.open_connection(to_host, int(to_port))
        writer.write(head + b"more")
        writers.append(writer)
        answers[name] = asyncio.create_task(reader.readexactly(len(head) + 4))
    assert (await asyncio.wait_for(answers["b:2"], 5)).endswith(b"http://b:2\r\n\r\nmore")
    assert not answers["a:1"].done()
    link.of["a:1"].heal()
    assert (await asyncio.wait_for(answers["a:1"], 5)).endswith(b"http://a:1\r\n\r\nmore")
    for writer in writers:
        writer.close()
    for one in (link, *link.of.values()):
        await one.close()
    server.close()
