"""Records what passes over the loopback interface from and to some ports until the file STOP is there, and then says in
JSON how many bytes passed the ports of nodes and of the gateway, and which words were in them. The file READY is made
once it records; where this machine does not permit that, it holds why, and nothing is recorded.

Environment: NODES (ports, separated by commas), GATEWAY (a port), WORDS (separated by commas), READY, STOP."""

import json
import os
import select
import socket
import sys
import time

IPV4, OUTGOING, TCP = 0x0800, 4, 6
SO_RCVBUFFORCE = 33
# Enough for all that passes while this program does not run.
BUFFER = 256 << 20
# Seconds in which the buffer is emptied at the end.
REST = 1


def payload(packet):
    """The ports of a packet of TCP, and what it carries."""
    start = (packet[0] & 15) * 4
    source, target = (int.from_bytes(packet[at:at + 2], "big") for at in (start, start + 2))
    data = start + (packet[start + 12] >> 4) * 4
    return source, target, packet[data:int.from_bytes(packet[2:4], "big")]


def record(wire, ports, stop):
    """What was sent, by source and target."""
    sent, deadline = {}, float("inf")
    # Nodes always have something to say. What was sent before the file was made is in the buffer then.
    while time.monotonic() < deadline:
        if deadline == float("inf") and os.path.exists(stop):
            deadline = time.monotonic() + REST
        if not select.select([wire], [], [], 0.2)[0]:
            continue
        packet, (_, protocol, kind, *_) = wire.recvfrom(1 << 17)
        # Each packet is seen leaving, and again arriving.
        if protocol != IPV4 or kind == OUTGOING or packet[9] != TCP:
            continue
        source, target, data = payload(packet)
        if data and (source in ports or target in ports):
            sent.setdefault((source, target), bytearray()).extend(data)
    return sent


def seen(sent, ports, words):
    streams = [data for flow, data in sent.items() if ports & set(flow)]
    found = [word for word in words if any(word.encode() in data for data in streams)]
    return {"bytes": sum(map(len, streams)), "found": found}


def main():
    nodes = {int(port) for port in os.environ["NODES"].split(",")}
    gateway, words = {int(os.environ["GATEWAY"])}, os.environ["WORDS"].split(",")
    wire, missing = None, ""
    try:
        wire = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(IPV4))
        wire.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
        wire.bind(("lo", IPV4))
    except OSError as why:
        missing = str(why)
    with open(os.environ["READY"] + ".new", "w") as file:
        file.write(missing)
    os.rename(os.environ["READY"] + ".new", os.environ["READY"])
    if missing:
        sys.exit(0)
    sent = record(wire, nodes | gateway, os.environ["STOP"])
    print(json.dumps({"nodes": seen(sent, nodes, words), "gateway": seen(sent, gateway, words)}))


main()
