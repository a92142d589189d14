"""What can keep the embedded broker from running, each said in one line that names the way out.

The command line prints `str(error)` and nothing else, so an operator at night reads one sentence and no stack trace.
"""

from pathlib import Path


class BrokerError(Exception):
    """The broker can't run. The message is one line."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


class JarsUnavailableError(BrokerError):
    """A jar isn't in the cache and can't be fetched."""

    def __init__(self, jar: str, reason: str, cache: Path) -> None:
        super().__init__(
            f"can't fetch Kafka's jars ({jar}: {reason}): connect this machine to the network once"
            f" (HTTPS_PROXY is honoured), or copy {cache} from a machine that has it"
        )


class JarDamagedError(BrokerError):
    """A jar was fetched and isn't the pinned one."""

    def __init__(self, jar: str, found: str, pins: Path) -> None:
        super().__init__(
            f"refused {jar}: fetched twice, and its SHA-256 {found[:12]}… is not the one pinned in {pins.name};"
            " look at the proxy or mirror in between"
        )


class PortTakenError(BrokerError):
    """Another program listens where the broker must."""

    def __init__(self, port: int) -> None:
        super().__init__(f"port {port} is taken by another program: stop it, or choose other ports with --port-base")


class NoSpaceError(BrokerError):
    """The disk is full, or too nearly so to start."""

    def __init__(self, folder: Path, free_mb: int = 0, needed_mb: int = 0) -> None:
        found = f"{free_mb} MB free, {needed_mb} MB needed" if needed_mb else "the disk is full"
        super().__init__(f"no space for {folder} ({found}): free some, or choose a folder on another disk")


class ForeignDataError(BrokerError):
    """The data folder isn't the one of this cluster."""

    def __init__(self, folder: Path, difference: str) -> None:
        super().__init__(
            f"{folder} is not this cluster's data ({difference}): choose another folder with --data,"
            " or put the right one back"
        )


class DataInUseError(BrokerError):
    """A live process already runs a broker on this data folder."""

    def __init__(self, folder: Path, pid: int) -> None:
        super().__init__(f"{folder} is in use by process {pid}: stop that one first, or choose another with --data")


class BrokerDiedError(BrokerError):
    """The broker's process ended by itself."""

    def __init__(self, broker_id: int, ending: str, line: str, log: Path) -> None:
        super().__init__(f"broker {broker_id} died ({ending}): {line or 'it logged nothing'}; its log is {log}")


class NotReadyError(BrokerError):
    """The broker lives and doesn't answer."""

    def __init__(self, broker_id: int, waited_s: float, reason: str, log: Path) -> None:
        super().__init__(
            f"broker {broker_id} was not ready after {waited_s:.0f} s ({reason}): start again, its log is {log}"
        )
