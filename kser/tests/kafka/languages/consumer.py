"""Runs the tasks below: python consumer.py SERVERS TOPIC plain|external|patient.

plain: the package alone; external: its controller with the mixin; patient: its consumer with the other one, too.
Prints the package's log lines, and what tasks were given as JSON.
"""
import json
import logging
import sys

from cdumay_error.types import NotFound
from cdumay_result import Result
from confluent_kafka import Producer
from kser.confluent.consumer import Consumer
from kser.controller import Controller
from kser.sequencing.task import Task
from kser_external import AtLeastOnce, ExternalSteps


class Echo(Task):
    """Shows what it was given, and leaves its params and what the step before left."""

    def run(self):
        print(json.dumps({"params": self.params, "retval": self.result.retval}), flush=True)
        return Result(stdout="caf\u00e9 \U0001f3b2", retval={"python": self.params})


class Raises(Task):
    def run(self):
        raise RuntimeError("na\u00efve")


class Misses(Task):
    def run(self):
        raise NotFound("no such order", extra={"order": 42})


class Says404(Task):
    def run(self):
        return Result(retcode=404, stderr="not here")


class Forgets(Task):
    REQUIRED_FIELDS = ["order"]


class LeavesASet(Task):
    def run(self):
        return Result(retval={"set": {1, 2}})


class LeavesNaN(Task):
    def run(self):
        return Result(retval={"number": float("nan")})


class LeavesNull(Task):
    def run(self):
        self.result.stdout = None


class LeavesMuch(Task):
    def run(self):
        return Result(retval={"much": "x" * 2_000_000})


class Answers(Task):
    """Leaves nothing at all: what hooks return replaces the result."""

    def run(self):
        return Result()

    def onsuccess(self, result):
        return None


class Slow(Task):
    """Never ends in the first process that runs it."""

    def run(self):
        try:
            open(self.params["begun"], "x").close()
        except FileExistsError:
            return Result(stdout="the second time")
        print("begun", flush=True)
        sys.stdin.read()


class External(ExternalSteps, Controller):
    pass


class PlainConsumer(Consumer):
    pass


class ExternalConsumer(Consumer):
    REGISTRY = External


class PatientConsumer(AtLeastOnce, Consumer):
    REGISTRY = External


servers, topic, kind = sys.argv[1:]
logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
External.PRODUCER = Producer({"bootstrap.servers": servers, "partitioner": "murmur2_random"})
for task in Task.__subclasses__():
    if task.__module__ == "__main__":
        # The package's own name for it would be `__main__.Echo`.
        Controller.register("python." + task.__name__, task)
consumers = {"plain": PlainConsumer, "external": ExternalConsumer, "patient": PatientConsumer}
config = {
    "bootstrap.servers": servers,
    "group.id": topic,
    "auto.offset.reset": "earliest",
    "session.timeout.ms": 6000,
}
consumers[kind](config, [topic]).run()
