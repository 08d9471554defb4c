"""Kafka's names and settings in one place: topics, groups, partitioner, clients. aiokafka stays behind this module.

Every value here was measured on a real broker (architecture.md); a client whose background task died is replaced, not
repaired, because aiokafka does not notice by itself.
"""

import asyncio
import zlib
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final, TypeAlias

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import (
    KafkaError,
    LeaderNotAvailableError,
    NoError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
    for_code,
)
from aiokafka.protocol.metadata import MetadataRequest

from backbone.settings import ServiceSettings

__all__ = ["Client", "KafkaError", "Partition", "Producer"]

Client: TypeAlias = AIOKafkaConsumer
Producer: TypeAlias = AIOKafkaProducer
Partition: TypeAlias = TopicPartition

MAX_RECORD_BYTES: Final = 8 * 1024 * 1024
MAX_BATCH_BYTES: Final = 1024 * 1024
MAX_PARTITION_FETCH_BYTES: Final = 262_144
MAX_POLL_RECORDS: Final = 500
REQUEST_TIMEOUT_MS: Final = 40_000
REBALANCE_TIMEOUT_MS: Final = 15_000
STOP_TIMEOUT_S: Final = 3.0
LEADER_POLL_S: Final = 0.02
LEADER_POLLS: Final = 250
NAMES: Final = 256
"""Kept in memory of those that were made: a process has a dozen topics, and asks for each event."""
RETENTION_MS: Final = 14 * 24 * 3600 * 1000

log = structlog.get_logger()


@lru_cache(maxsize=NAMES)
def topic_name(namespace: str, topic: str) -> str:
    """Return the full name: `handoff.routing.v1` for `routing`."""
    return f"{namespace}.{topic}.v1"


@lru_cache(maxsize=NAMES)
def short_name(namespace: str, name: str) -> str:
    """Return what `topic_name` was given, also for a dead-letter topic."""
    return name.removeprefix(f"{namespace}.").removesuffix(".dlq").removesuffix(".v1")


def dead_letter_name(namespace: str, service: str) -> str:
    """Return the name of the topic with a copy of what `service` parked."""
    return f"{namespace}.{service}.v1.dlq"


def group_name(namespace: str, service: str) -> str:
    """Return the consumer group of a service."""
    return f"{namespace}.{service}"


def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition of a key, the same in every service and every version."""
    return zlib.crc32(key) % partitions


async def delete_topics(address: str, namespace: str) -> None:
    """Delete all topics of a namespace; KafkaError when the broker is away or refuses."""
    admin = AIOKafkaAdminClient(bootstrap_servers=address, request_timeout_ms=10_000)
    await admin.start()
    try:
        names = [name for name in await admin.list_topics() if name.startswith(f"{namespace}.")]
        if names:
            await admin.delete_topics(names)
    finally:
        await stop(admin.close())


async def ensure_topics(settings: ServiceSettings, names: Iterable[str]) -> None:
    """Create the topics that are missing; KafkaError when the broker is away or refuses."""
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka, request_timeout_ms=10_000)
    await admin.start()
    try:
        missing = [topic["topic"] for topic in await _described(admin, sorted(set(names))) if _is_missing(topic)]
        if not missing:
            return
        configs = {"retention.ms": str(RETENTION_MS), "max.message.bytes": str(MAX_RECORD_BYTES)}
        answer = await admin.create_topics(
            [
                NewTopic(
                    name=name,
                    num_partitions=settings.partitions,
                    replication_factor=settings.replication_factor,
                    topic_configs=configs,
                )
                for name in missing
            ]
        )
        for topic_error in answer.topic_errors:
            error = for_code(topic_error[1])
            if topic_error[1] != 0 and error is not TopicAlreadyExistsError:
                raise error(f"topic {topic_error[0]} was not created")
        # A reader that joins before every partition has a leader is given none, and would not look again for seconds.
        for _ in range(LEADER_POLLS):
            if not any(_leaderless(one) for one in await _described(admin, missing)):
                break
            await asyncio.sleep(LEADER_POLL_S)
    finally:
        await stop(admin.close())


async def _described(admin: AIOKafkaAdminClient, names: list[str]) -> list[Any]:
    """Return how these topics stand, and of no others, however many a cluster has; asking makes none.

    aiokafka's own call lets a broker create what it is asked about, with as many partitions as it likes.
    """
    answer = await admin._send_request(MetadataRequest(names, allow_auto_topic_creation=False))
    topics: list[Any] = answer.to_object()["topics"]
    return topics


def _is_missing(topic: Any) -> bool:
    error = for_code(topic["error_code"])
    if error not in (NoError, UnknownTopicOrPartitionError, LeaderNotAvailableError):
        raise error(f"topic {topic['topic']}")
    return error is UnknownTopicOrPartitionError


def _leaderless(topic: Any) -> bool:
    return (
        topic["error_code"] != 0
        or not topic["partitions"]
        or any(partition["leader"] < 0 for partition in topic["partitions"])
    )


def consumer(settings: ServiceSettings, *, group: str | None, read_ahead: int = MAX_PARTITION_FETCH_BYTES) -> Client:
    """Make a consumer; without a group it reads what it is told to."""
    return AIOKafkaConsumer(
        bootstrap_servers=settings.kafka,
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        partition_assignment_strategy=(RangePartitionAssignor,),
        session_timeout_ms=settings.session_timeout_ms,
        heartbeat_interval_ms=min(1_000, settings.session_timeout_ms // 4),
        rebalance_timeout_ms=REBALANCE_TIMEOUT_MS,
        request_timeout_ms=REQUEST_TIMEOUT_MS,
        max_partition_fetch_bytes=read_ahead,
        max_poll_records=MAX_POLL_RECORDS,
        fetch_max_wait_ms=500,
        metadata_max_age_ms=5_000,
        retry_backoff_ms=100,
    )


def producer(settings: ServiceSettings) -> Producer:
    """Make an idempotent producer that waits for every in-sync replica."""
    return AIOKafkaProducer(
        bootstrap_servers=settings.kafka,
        acks="all",
        enable_idempotence=True,
        linger_ms=0,
        max_batch_size=MAX_BATCH_BYTES,
        max_request_size=MAX_RECORD_BYTES,
        request_timeout_ms=REQUEST_TIMEOUT_MS,
        metadata_max_age_ms=30_000,
        retry_backoff_ms=100,
    )


class Assignments(ConsumerRebalanceListener):  # type: ignore[misc]
    """Notes that partitions were handed out, be it the same again. The reader goes to its stored offsets by itself:
    aiokafka swallows what is raised in here, and a database connection must not be shared with its loop."""

    def __init__(self) -> None:
        self.changed = False
        self.awaited = False
        """They were taken back and not handed out yet: the group waits for a member that may be dead."""

    async def on_partitions_revoked(self, revoked: object) -> None:
        """Nothing to save: offsets are stored with the state."""
        self.awaited = True

    async def on_partitions_assigned(self, assigned: object) -> None:
        """Remember that the positions are Kafka's by now."""
        self.changed, self.awaited = True, False


def is_alive(client: Client | Producer) -> bool:
    """Say whether the client's background tasks still run; they can end without an error that anybody sees."""
    if isinstance(client, AIOKafkaProducer):
        tasks: list[Any] = [client._sender.sender_task, client.client._sync_task]
    else:
        coordination = getattr(client._coordinator, "_coordination_task", None)
        tasks = [client._fetcher._fetch_task, coordination, client._client._sync_task]
    return not any(task is not None and task.done() for task in tasks)


async def cut(producer: Producer) -> None:
    """End a producer without sending what it still holds, which it would try for ever: the outbox has it."""
    producer._closed = True
    sender = producer._sender.sender_task if producer._sender is not None else None
    if sender is not None:
        sender.cancel()
    # What the sender has under way fails with its connection, else it would be waited for.
    await stop(producer.client.close())
    if sender is not None:
        await asyncio.wait([sender], timeout=STOP_TIMEOUT_S)


async def stop(stopping: Any) -> None:
    """Await a client's `stop()` for three seconds at most: it can hang while the broker is down."""
    try:
        await asyncio.wait_for(stopping, STOP_TIMEOUT_S)
    except (TimeoutError, KafkaError, OSError, RuntimeError) as error:
        log.info("a Kafka client did not stop in time", reason=type(error).__name__)
