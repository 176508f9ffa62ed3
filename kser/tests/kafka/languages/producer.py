"""Sends messages with the producer of the package: python producer.py SERVERS TOPIC MESSAGE..., each as JSON."""
import json
import sys

from kser.confluent.producer import Producer
from kser.schemas import Message

servers, topic, *messages = sys.argv[1:]
# Not `bulk_send`, which always fails.
producer = Producer({"bootstrap.servers": servers})
for message in messages:
    sent = producer.send(topic, Message(**json.loads(message)))
    # It says 0 whatever the brokers say; what arrives is what the test looks at.
    print(sent.retcode, sent.stdout)
