"""A link with delay between two machines (tests/integration/machines.py): a TUN device on each, and a process that holds each
packet for half the round trip before it hands it to the other.

The kernel here need not have netem, and a proxy would end the connection where the delay has to be. Bounds: as many packets
as fit into half a round trip at what one core forwards, some hundred thousand a second."""

import collections
import contextlib
import ctypes
import fcntl
import multiprocessing
import os
import select
import struct
import time

TUNSETIFF, IFF_TUN, IFF_NO_PI, CLONE_NEWNET = 0x400454CA, 0x0001, 0x1000, 0x40000000
PACKET_BYTES = 65536
QUEUED_PACKETS = 65536


def _open_tun(pid):
    """A TUN device in the network namespace of a process."""
    with open(f"/proc/{pid}/ns/net", "rb") as namespace:
        if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "a namespace could not be entered")
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", b"delay0", IFF_TUN | IFF_NO_PI))
    return tun


def _forward(pids, half_s, ready):
    tuns = [_open_tun(pid) for pid in pids]
    ready.send(True)
    queues = [collections.deque(), collections.deque()]
    while True:
        now = time.monotonic()
        firsts = [queue[0][0] for queue in queues if queue]
        wait_s = max(0.0, min(firsts) - now) if firsts else None
        readable, _, _ = select.select(tuns, [], [], wait_s)
        for tun in readable:
            queue = queues[tuns.index(tun)]
            with contextlib.suppress(BlockingIOError):
                for _ in range(64):
                    packet = os.read(tun, PACKET_BYTES)
                    if len(queue) < QUEUED_PACKETS:
                        queue.append((time.monotonic() + half_s, packet))
        now = time.monotonic()
        for side, queue in enumerate(queues):
            while queue and queue[0][0] <= now:
                with contextlib.suppress(OSError):  # Full: lost, as on any link.
                    os.write(tuns[1 - side], queue[0][1])
                queue.popleft()


class Delay:
    """`with Delay(two machines, two addresses, milliseconds there and back)`"""

    def __init__(self, machines, addresses, round_trip_ms):
        self.machines, self.addresses, self.half_s = machines, addresses, round_trip_ms / 2000

    def __enter__(self):
        here, there = multiprocessing.Pipe()
        pids = [machine.holder.pid for machine in self.machines]
        self.process = multiprocessing.Process(target=_forward, args=(pids, self.half_s, there), daemon=True)
        self.process.start()
        if not here.poll(10):
            raise RuntimeError("the link with delay did not come up")
        for machine, address, other in zip(self.machines, self.addresses, reversed(self.addresses), strict=True):
            machine.run("ip", "addr", "add", address, "peer", other, "dev", "delay0")
            machine.run("ip", "link", "set", "delay0", "mtu", "9000", "txqueuelen", "10000", "up")
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.join()
