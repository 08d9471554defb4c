"""Topics of a namespace, which go without touching another's."""

from uuid import uuid4

from aiokafka.admin import AIOKafkaAdminClient

from backbone import kafka
from backbone.testing import eventually
from backbone.testing.stage import Stage


async def test_a_namespace_is_forgotten_and_no_other(start: Stage) -> None:
    settings = start.settings("postgresql://nobody@127.0.0.1/nothing")
    mine, others = (f"t{uuid4().hex[:12]}" for _ in range(2))
    for namespace in (mine, others):
        await kafka.ensure_topics(settings, [kafka.topic_name(namespace, name) for name in ("intake", "routing")])
    await kafka.delete_topics(settings.kafka, mine)
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka)
    await admin.start()

    async def gone() -> None:
        left = [name for name in await admin.list_topics() if name.startswith((mine, others))]
        assert sorted(left) == [kafka.topic_name(others, name) for name in ("intake", "routing")]

    try:
        await eventually(gone)
    finally:
        await admin.close()
        await kafka.delete_topics(settings.kafka, others)
