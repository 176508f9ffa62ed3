"""Approves orders: a consumer of the Python package kser that runs a step of someone else's operation.

    python consumer.py localhost:9092
"""
import logging
import os
import sys
import tempfile

# The package writes a file here for each message, by default where only root may.
os.environ.setdefault("LOCK_PATH", tempfile.gettempdir())

from cdumay_result import Result
from confluent_kafka import Producer
from kser.confluent.consumer import Consumer
from kser.controller import Controller
from kser.sequencing.task import Task
from kser_external import AtLeastOnce, ExternalSteps


class Approve(Task):
    REQUIRED_FIELDS = ["order"]

    def run(self):
        # What the step before has left is here: `self.result.retval`.
        text = "order {} is approved".format(self.params["order"])
        return Result(stdout=text, retval={"by": "the owner"})


class Office(ExternalSteps, Controller):
    """Runs tasks, and reports their end to those who ask."""


class OfficeConsumer(AtLeastOnce, Consumer):
    REGISTRY = Office


def main(servers, topic="office"):
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    config = {"bootstrap.servers": servers, "partitioner": "murmur2_random", "acks": "all"}
    Office.PRODUCER = Producer(config)
    # Under a name that does not depend on where the class is.
    Office.register("office.Approve", Approve)
    config = {"bootstrap.servers": servers, "group.id": "kser." + topic, "auto.offset.reset": "earliest"}
    OfficeConsumer(config, [topic]).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
