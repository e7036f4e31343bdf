"""The daemon's end of the control socket: one thread, one epoll, every limit against bad clients.

The rule: whatever comes through the socket costs a bounded amount and delays nobody else. A client
has `REQUEST_TIME` to send its one line, may let the answer lie for `STALL_TIME`, and there are
`MAX_CONNECTIONS` at once: a reader may have `PER_USER` of them, so that one cannot lock out the
others, and some are kept for administrators, so that readers cannot lock out the one who must act.
Requests are checked and permitted here, in this thread; only what passed reaches the loop, as a
`Job`. A socket that somebody removes is made again, and that is told.

epoll rather than `selectors`, because a client that half-closed and waits for its answer (no event
wanted) must be told from one that left (EPOLLHUP, which comes unasked): selectors cannot say that.
"""

from __future__ import annotations

import errno
import math
import os
import select
import socket
import stat
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack

from ..errors import AlreadyRunning, ConfigError, HostguardError, UnreachableError, UsageError
from .address import folder_of
from .caller import Access, describe_caller, group_id, peer_of, user_name
from .calls import CALLS, Who, parse_request
from .connection import Connection
from .job import Job, encode_error
from .whence import Processes, whence

MAX_CONNECTIONS = 16
RESERVED = 4  # of them, for administrators
PER_USER = 4  # that one user who is no administrator may have
REQUEST_TIME = 5.0
LINGER_TIME = 1.0  # for a refused client to notice
STALL_TIME = 60.0
AT_ONCE = 4  # accepted per turn: those that left while they waited go before the next are counted
QUEUE = 64  # connections that wait in the kernel to be accepted
MUTE_TIME = 0.25  # pause between attempts to accept while descriptors are short
LOOK_EVERY = 2.0  # whether our path still leads to us


class ControlServer:
    """Listens on `path` and hands each permitted request to `submit`, which must not block.

    `group` names the readers ("" for none). `notice` is, once started, a sentence about what is
    not as configured (the group does not exist), or "". `processes` know from where somebody approves.
    """

    def __init__(
        self, path: str, group: str, submit: Callable[[Job], None], processes: Processes | None = None
    ) -> None:
        self.path = path
        self.notice = ""
        self._submit = submit
        self._processes = processes
        self._access = Access(frozenset({0, os.geteuid()}), group_id(group), group)
        self._listener: socket.socket | None = None
        self._inode = (0, 0)
        self._epoll: select.epoll
        self._wakeup = -1
        self._waking = threading.Lock()
        self._connections: dict[int, Connection] = {}
        self._muted_until = math.inf
        self._look_at = 0.0
        self._lost = ""
        self._news: deque[str] = deque(maxlen=16)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="control", daemon=True)

    # Life.

    def start(self) -> None:
        """Create the socket and begin to answer.

        Raises AlreadyRunning when somebody answers on the socket already, ConfigError when it
        cannot be created where the configuration says.
        """
        try:
            self._listener = self._listen()
        except OSError as problem:
            why = problem.strerror or problem
            raise ConfigError([f"paths.run: cannot create {self.path}: {why}"]) from None
        self._epoll = select.epoll()
        self._wakeup = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._listener, select.EPOLLIN)
        self._epoll.register(self._wakeup, select.EPOLLIN)
        self._look_at = time.monotonic() + LOOK_EVERY
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether it answers: started, not stopped, and its thread did not die."""
        return self._thread.is_alive()

    @property
    def trouble(self) -> str:
        """What is not as it should be at present, as a sentence, or ""."""
        return (self._lost or self.notice) if self.alive else self._dead()

    def take_lost(self) -> str:
        """What happened to the socket and was not taken yet, as a sentence, or ""; for any thread."""
        return self._news.popleft() if self._news else ""

    def stop(self) -> None:
        """Tell waiting clients, close everything, remove the socket. May be called twice."""
        self._stopping.set()
        if self._thread.is_alive():
            self._wake()
            self._thread.join()
        if self._listener is not None:
            self._listener.close()
            self._listener = None
            self._remove_own()
            self._epoll.close()
            with self._waking:
                os.close(self._wakeup)
                self._wakeup = -1

    def _listen(self) -> socket.socket:
        os.makedirs(os.path.dirname(self.path) or ".", mode=0o755, exist_ok=True)
        with folder_of(self.path) as (folder, address), ExitStack() as undo:
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            undo.callback(listener.close)
            self._check_folder(folder)
            self._clear_stale(address)
            # By its own name where that fits into sun_path (unix(7): 108 bytes), for others see it.
            listener.bind(self.path if len(os.fsencode(self.path)) < 108 else address)
            found = os.lstat(address)
            # Nobody can connect before listen(2), so there is no moment with the wrong mode.
            self.notice = self._hand_to_group(address)
            listener.listen(QUEUE)
            self._inode = (found.st_dev, found.st_ino)
            undo.pop_all()
        return listener

    def _check_folder(self, folder: int) -> None:
        found = os.fstat(folder)
        if found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX:
            where = os.path.dirname(self.path)
            raise ConfigError([f"paths.run: {where} is writable by everybody, who could swap our socket"])

    def _clear_stale(self, address: str) -> None:
        """Remove the socket of a dead daemon; refuse if one lives, or if it is not a socket."""
        try:
            mode = os.lstat(address).st_mode
        except FileNotFoundError:
            return
        if not stat.S_ISSOCK(mode):
            raise ConfigError([f"paths.run: {self.path} is in the way: it is not a socket"])
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
            code = probe.connect_ex(address)
        if code in (0, errno.EAGAIN):  # EAGAIN: it lives, and its queue is full
            raise AlreadyRunning(f"another daemon answers on {self.path}")
        if code != errno.ECONNREFUSED:
            raise OSError(code, f"cannot tell whether the socket there is in use: {os.strerror(code)}")
        os.unlink(address)

    def _hand_to_group(self, address: str) -> str:
        group, gid = self._access.group, self._access.readers
        if gid is None:
            os.chmod(address, 0o600)
            return f"control.group: there is no group {group}, so only root may ask" if group else ""
        try:
            if os.lstat(address).st_gid != gid:  # it is, where the unit's Group= is the reading group
                os.chown(address, -1, gid, follow_symlinks=False)
        except PermissionError:
            os.chmod(address, 0o600)
            return f"control.group: not permitted to give {self.path} to the group {group}"
        os.chmod(address, 0o660)
        return ""

    def _remove_own(self) -> None:
        """Unlink the socket, unless another daemon has put its own in its place since."""
        try:
            with folder_of(self.path) as (_, address):
                found = os.lstat(address)
                if (found.st_dev, found.st_ino) == self._inode:
                    os.unlink(address)
        except FileNotFoundError:
            return

    def _wake(self) -> None:
        with self._waking:  # a job may answer after the end, when the descriptor is someone else's
            if self._wakeup >= 0:
                os.eventfd_write(self._wakeup, 1)

    # The thread.

    def _run(self) -> None:
        try:
            self._serve()
        finally:
            if not self._stopping.is_set():
                self._news.append(self._dead())

    def _dead(self) -> str:
        return f"{self.path} does not answer any more: its thread ended"

    def _serve(self) -> None:
        while not self._stopping.is_set():
            for descriptor, events in self._epoll.poll(self._patience()):
                self._event(descriptor, events)
            now = time.monotonic()
            if self._muted_until <= now:
                self._mute(math.inf)
            if self._look_at <= now:
                self._look(now)
            for connection in list(self._connections.values()):
                self._tend(connection, now)
        farewell = encode_error(UnreachableError("the daemon is stopping"))
        for connection in list(self._connections.values()):
            connection.send(farewell, last=True)
            connection.flush()
            self._close(connection)

    def _patience(self) -> float:
        """Seconds until something is due by itself."""
        due = min(self._muted_until, self._look_at, *(c.deadline for c in self._connections.values()))
        return max(0.0, due - time.monotonic())

    def _look(self, now: float) -> None:
        """Whether our path still leads to our socket; where it does not, make it again and tell."""
        self._look_at = now + LOOK_EVERY
        if self._in_place():
            self._lost = ""
            return
        try:
            listener = self._listen()
        except (OSError, HostguardError) as problem:
            why = problem.strerror if isinstance(problem, OSError) else problem
            lost = f"{self.path} was taken away and cannot be made again: {why}"
            if lost != self._lost:
                self._news.append(lost)
            self._lost = lost
            return
        assert self._listener is not None
        self._epoll.unregister(self._listener)
        self._listener.close()
        self._listener = listener
        self._epoll.register(listener, select.EPOLLIN)
        self._muted_until = math.inf
        self._lost = ""
        self._news.append(f"{self.path} was taken away; it is there again")

    def _in_place(self) -> bool:
        try:
            with folder_of(self.path) as (_, address):
                found = os.lstat(address)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:  # out of descriptors: it cannot be told now
            return True
        return (found.st_dev, found.st_ino) == self._inode

    def _event(self, descriptor: int, events: int) -> None:
        connection = self._connections.get(descriptor)
        if connection is not None:
            if events & (select.EPOLLHUP | select.EPOLLERR):
                connection.give_up()
            elif events & select.EPOLLIN:
                self._read(connection)
        elif descriptor == self._wakeup:
            os.eventfd_read(self._wakeup)
        else:
            self._accept()

    def _tend(self, connection: Connection, now: float) -> None:
        """Write what waits, then close, expire, or say what is wanted of the socket next."""
        written = connection.flush()
        if not connection.asking and not connection.parting:
            if not connection.pending:
                connection.deadline = math.inf
            elif written or connection.deadline == math.inf:
                connection.deadline = now + STALL_TIME
        if connection.deadline <= now:
            if connection.asking:
                self._refuse(connection, UsageError(f"the request did not arrive within {REQUEST_TIME:g} s"))
                connection.flush()
            connection.give_up()
        if connection.gone or (connection.done and not connection.parting):
            self._close(connection)
            return
        wanted = select.EPOLLIN if connection.readable else 0
        if connection.pending:
            wanted |= select.EPOLLOUT
        self._epoll.modify(connection.socket, wanted)

    def _accept(self) -> None:
        assert self._listener is not None
        for _ in range(AT_ONCE):
            try:
                sock, _address = self._listener.accept()
                sock.setblocking(False)
                self._epoll.register(sock, select.EPOLLIN)
            except BlockingIOError:
                return
            except OSError:  # out of descriptors or memory, or the peer is gone already: accept(2)
                self._mute(time.monotonic() + MUTE_TIME)
                return
            connection = Connection(sock, peer_of(sock), time.monotonic() + REQUEST_TIME, self._wake)
            self._connections[sock.fileno()] = connection
            self._admit(connection)
            # At once, so that who was turned away does not count against who comes next.
            self._tend(connection, time.monotonic())

    def _admit(self, connection: Connection) -> None:
        """Turn away at the door who may ask nothing at all, and who comes when it is full."""
        caller = connection.caller
        refusal: HostguardError | None = self._access.refusal("status", caller)
        slots, own = MAX_CONNECTIONS, 0
        if not self._access.allows(Who.ADMIN, caller):
            slots -= RESERVED
            own = sum(other.caller.uid == caller.uid for other in self._connections.values())
        if not refusal and own > PER_USER:
            refusal = UnreachableError(
                f"{user_name(caller.uid)} has {PER_USER} connections open already, as many as one user may"
                " have; end one of them, or try again"
            )
        elif not refusal and len(self._connections) > slots:
            refusal = UnreachableError("the daemon is busy with other clients; try again")
        if refusal:
            self._refuse(connection, refusal)

    def _mute(self, until: float) -> None:
        """Stop listening for a moment, so that a connection we cannot take does not spin the thread."""
        assert self._listener is not None
        self._muted_until = until
        self._epoll.modify(self._listener, select.EPOLLIN if until == math.inf else 0)

    def _read(self, connection: Connection) -> None:
        try:
            request = connection.receive()
            if request is not None:
                self._dispatch(connection, request)
        except ValueError as problem:
            self._part(connection, UsageError(str(problem)))
        except HostguardError as error:
            self._part(connection, error)

    def _part(self, connection: Connection, error: HostguardError) -> None:
        """Refuse who may still be sending, and hear them out for a moment, so that they read why."""
        self._refuse(connection, error)
        connection.part()
        connection.deadline = time.monotonic() + LINGER_TIME

    def _dispatch(self, connection: Connection, request: bytes) -> None:
        line, _, rest = request.partition(b"\n")
        if rest.strip():
            raise UsageError("one request per connection")
        name, args = parse_request(line)
        refusal = self._access.refusal(name, connection.caller)
        if refusal:
            raise refusal
        connection.asking = False
        connection.deadline = math.inf
        actor = describe_caller(connection.caller)
        if self._processes is not None and CALLS[name].who is Who.ADMIN:
            actor = ", ".join(filter(None, (actor, whence(connection.caller.pid, self._processes))))
        self._submit(Job(name, args, connection.caller, actor, connection))

    def _refuse(self, connection: Connection, error: HostguardError) -> None:
        connection.asking = False
        connection.deadline = math.inf
        connection.send(encode_error(error), last=True)

    def _close(self, connection: Connection) -> None:
        del self._connections[connection.socket.fileno()]
        # Not left to close(2): a child that was forked meanwhile would keep it in the epoll, and its
        # events would then be taken for those of the next connection with that number.
        self._epoll.unregister(connection.socket)
        connection.give_up()
        connection.socket.close()
