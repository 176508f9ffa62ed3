"""Launches an operation, and runs a step of it, all encrypted: python encrypted.py SERVERS LAUNCH_TOPIC STEP_TOPIC SECRET."""
import json
import logging
import sys

from cdumay_result import Result
from confluent_kafka import Producer
from kser.confluent.consumer import Consumer
from kser.controller import Controller
from kser.schemas import Message
from kser.sequencing.task import Task
from kser_crypto.controller import CryptoController
from kser_crypto.schemas import CryptoSchema
from kser_external import ExternalSteps, Step


class Echo(Task):
    def run(self):
        return Result(stdout="python saw " + self.params["secret"])


class EncryptedStep(Step):
    """Opens the envelope with the package, and then is a step of the mixin."""

    @classmethod
    def loads(cls, json_data):
        message = CryptoSchema().decode(json_data)
        return super().loads(Message.MARSHMALLOW_SCHEMA.dumps(message))


class Vault(ExternalSteps, CryptoController):
    TRANSPORT = EncryptedStep

    @classmethod
    def publish(cls, topic, key, text):
        super().publish(topic, key, CryptoSchema().encode(Message.loads(text)))


class VaultConsumer(Consumer):
    REGISTRY = Vault


servers, launch_topic, step_topic, secret = sys.argv[1:]
logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
Vault.PRODUCER = Producer({"bootstrap.servers": servers, "partitioner": "murmur2_random"})
Controller.register("python.Echo", Echo)
launch = Message(uuid="from-python", entrypoint="vault.Launch", params={"secret": secret})
Vault.PRODUCER.produce(launch_topic, CryptoSchema().encode(launch).encode())
if Vault.PRODUCER.flush(30) == 0:
    print("launched", flush=True)
config = {"bootstrap.servers": servers, "group.id": step_topic, "auto.offset.reset": "earliest", "session.timeout.ms": 6000}
VaultConsumer(config, [step_topic]).run()
