"""Lets consumers of the Python package kser run steps of operations.

An operation can have a step that someone else runs: its message names a topic in `metadata.kser.reply`, and the operation goes
on when the end of the step is reported there. `ExternalSteps` reports the end of every task that a controller runs and that
asks for it, whether the task returned or raised, and also that there is no task of that name. `AtLeastOnce` has a consumer
commit a message after its task, and not before.
"""
import json
import logging
import re

from cdumay_error.types import ValidationError
from cdumay_result import Result, ResultSchema
from confluent_kafka import Consumer as Client, KafkaException
from kser.schemas import Message

logger = logging.getLogger(__name__)

ENDED = (
    '{"uuid": %s, "entrypoint": "kser.StepEnded", "params": {}, '
    '"result": %s, "metadata": %s}'
)


class Step(Message):
    """A message that also keeps its metadata as they were written.

    They hold the params of the steps to come, in numbers that Python would write otherwise, such as 2.50.
    """

    @classmethod
    def loads(cls, json_data):
        step = super().loads(json_data)
        step.written_metadata = written(json_data, "metadata") or "{}"
        return step


def written(text, name):
    """The text of a field of an object; of the last one, if there are several."""
    decoder, blank, found = json.JSONDecoder(), re.compile(r"\s*"), None
    at = blank.match(text, text.index("{") + 1).end()
    while text[at] != "}":
        key, at = decoder.raw_decode(text, at)
        start = blank.match(text, text.index(":", at) + 1).end()
        _, end = decoder.raw_decode(text, start)
        if key == name:
            found = text[start:end]
        at = blank.match(text, end).end()
        if text[at] == ",":
            at = blank.match(text, at + 1).end()
    return found


class ExternalSteps:
    """Put it before the class of a controller:

        class Office(ExternalSteps, Controller):
            PRODUCER = confluent_kafka.Producer({"bootstrap.servers": …})
    """

    TRANSPORT = Step
    # Sends the reports.
    PRODUCER = None
    # Seconds. A report that is not written by then ends the consumer, which has not committed its message.
    PATIENCE = 30
    # Bytes. Larger results would fail the step where they arrive.
    LARGEST = 256 * 1024

    @classmethod
    def _onsuccess(cls, kmsg, result):
        cls.report(kmsg, result)
        return super()._onsuccess(kmsg, result)

    @classmethod
    def _onerror(cls, kmsg, result):
        cls.report(kmsg, result)
        return super()._onerror(kmsg, result)

    @classmethod
    def report(cls, kmsg, result):
        """Reports the end of a step, and returns when the report is written. Does nothing for other messages."""
        kser = kmsg.metadata.get("kser")
        if not isinstance(kser, dict) or not kser.get("reply"):
            return
        try:
            text = cls.outcome(kmsg.uuid, result)
        except Exception as exc:
            # What cannot be told is a failure of the step: nobody would ever hear of it otherwise.
            text = cls.outcome(kmsg.uuid, Result.from_exception(exc))
        ended = ENDED % (json.dumps(kmsg.uuid), text, kmsg.written_metadata)
        cls.publish(kser["reply"], str(kser.get("run")), ended)

    @classmethod
    def outcome(cls, uuid, result):
        """The result of a step as text; raises where it has none, or none that can be read."""
        if result is None:
            raise ValidationError("The task returned no result")
        fields = ResultSchema().dump(result)
        fields["uuid"] = uuid
        text = json.dumps(fields, allow_nan=False)
        # Null, for one, can be written and not be read.
        ResultSchema().loads(text)
        if len(text) > cls.LARGEST:
            raise ValidationError("The result has {} bytes, and {} are the most".format(len(text), cls.LARGEST))
        return text

    @classmethod
    def publish(cls, topic, key, text):
        """Writes a record, and returns when the brokers have it."""
        errors = []
        cls.PRODUCER.produce(
            topic, text.encode(), key.encode(), on_delivery=lambda error, _: errors.append(error)
        )
        cls.PRODUCER.flush(cls.PATIENCE)
        if errors != [None]:
            raise KafkaException(*errors or ["no answer within {} s".format(cls.PATIENCE)])


class AtLeastOnce:
    """Put it before the class of a consumer of `kser.confluent`:

        class OfficeConsumer(AtLeastOnce, Consumer):
            REGISTRY = Office
    """

    def __init__(self, config, topics):
        self.client = CommitsAfterwards({**config, "enable.auto.commit": False})
        self.client.subscribe(topics)


class CommitsAfterwards(Client):
    """Who asks for the next message is done with the one before. Errors that pass, and what is no text, are logged."""

    before = None

    def poll(self, *_):
        while True:
            if self.before is not None:
                self.commit_it(self.before)
            # With a limit, so that signals are seen.
            self.before = message = super().poll(1)
            if message is None:
                continue
            error = message.error()
            if error is None and is_text(message.value()):
                return message
            if error is not None:
                self.before = None
                if error.fatal():
                    raise KafkaException(error)
            logger.error("%s[%s]: %s", message.topic(), message.partition(), error or "no text")

    def commit_it(self, message):
        try:
            self.commit(message=message, asynchronous=False)
        except KafkaException as exc:
            # Others have the partition now, and will run it once more.
            logger.warning("not committed: %s", exc)


def is_text(value):
    try:
        return bool(value) and value.decode() is not None
    except UnicodeDecodeError:
        return False
