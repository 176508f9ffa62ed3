#!/usr/bin/env bash
# A transaction that an operator aborts while its producer lives: the producer's next records open a new transaction of the
# same epoch, and its commit succeeds. Readers of committed records get the second half of a transaction without the first.
#
# Versions: Apache Kafka 4.4.0 (broker and Java client, feature transaction.version=2), confluent-kafka 2.16.1 (librdkafka
# 2.16.0). Needs Java 17, Maven and Python 3 with venv; takes about half a minute.
#
# Steps: a producer begins a transaction and sends ten records, each acknowledged. An operator aborts the transaction of that
# partition (Admin.abortTransaction, which `kafka-transactions abort` calls). The producer sends ten more and commits.
#
# A reader would expect the commit, or the sends before it, to fail: the transaction that the producer began is gone.
# Seen, for both clients: no error; read_committed shows second0 to second9 and none of first0 to first9.
# The script fails when that changes.
set -euo pipefail
dir=$(mktemp -d); broker=
trap '[ -z "$broker" ] || kill "$broker" 2>/dev/null; wait 2>/dev/null; rm -rf "$dir"' EXIT
cd "$dir"
cat > pom.xml <<'X'
<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>finding</groupId><artifactId>finding</artifactId><version>1</version><packaging>pom</packaging><dependencies>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>4.4.0</version></dependency>
<dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
</dependencies></project>
X
mvn -q -B -ntp dependency:copy-dependencies -DoutputDirectory=libs
python3 -m venv venv
venv/bin/pip -q --disable-pip-version-check install confluent-kafka==2.16.1

free() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
port=$(free); controller=$(free); export SERVER=127.0.0.1:$port
cat > server.properties <<X
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$controller
listeners=PLAINTEXT://$SERVER,CONTROLLER://127.0.0.1:$controller
advertised.listeners=PLAINTEXT://$SERVER
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs=$dir/data
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
group.initial.rebalance.delay.ms=0
X
java=(java -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dorg.slf4j.simpleLogger.defaultLogLevel=error -cp 'libs/*')
"${java[@]}" kafka.tools.StorageTool format -t AAAAAAAAAAAAAAAAAAAAAA -c server.properties > /dev/null
"${java[@]}" kafka.Kafka server.properties > broker.log 2>&1 & broker=$!
for _ in $(seq 300); do (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break; sleep 0.1; done

cat > Abort.java <<'X'
import java.util.*;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.common.TopicPartition;
public class Abort {
    /** Aborts the transaction that is open in partition 0 of a topic, as `kafka-transactions abort` does. */
    static void abort(String topic) throws Exception {
        var settings = new Properties();
        settings.put("bootstrap.servers", System.getenv("SERVER"));
        var partition = new TopicPartition(topic, 0);
        try (var admin = Admin.create(settings)) {
            var producers = admin.describeProducers(List.of(partition)).all().get().get(partition).activeProducers();
            if (producers.size() != 1 || producers.get(0).currentTransactionStartOffset().isEmpty())
                throw new IllegalStateException("one open transaction was expected: " + producers);
            var open = producers.get(0);
            admin.abortTransaction(new AbortTransactionSpec(partition, open.producerId(), (short) open.producerEpoch(),
                open.coordinatorEpoch().orElse(0))).all().get();
        }
    }
    public static void main(String[] args) throws Exception {
        abort(args[0]);
    }
}
X
cat > Produce.java <<'X'
import java.util.*;
import org.apache.kafka.clients.producer.*;
public class Produce {
    public static void main(String[] args) throws Exception {
        var settings = new Properties();
        settings.put("bootstrap.servers", System.getenv("SERVER"));
        settings.put("transactional.id", args[0]);
        for (var it : List.of("key.serializer", "value.serializer"))
            settings.put(it, "org.apache.kafka.common.serialization.StringSerializer");
        try (var producer = new KafkaProducer<String, String>(settings)) {
            producer.initTransactions();
            producer.beginTransaction();
            for (int i = 0; i < 10; i++) producer.send(new ProducerRecord<>(args[0], 0, null, "first" + i)).get();
            Abort.abort(args[0]);
            for (int i = 0; i < 10; i++) producer.send(new ProducerRecord<>(args[0], 0, null, "second" + i)).get();
            producer.commitTransaction();
        }
    }
}
X
cat > produce.py <<'X'
import os, subprocess, sys
from confluent_kafka import Producer
topic, errors = sys.argv[1], []
producer = Producer({"bootstrap.servers": os.environ["SERVER"], "transactional.id": topic})
def send(name):
    for i in range(10):
        producer.produce(topic, f"{name}{i}".encode(), partition=0, on_delivery=lambda error, _: error and errors.append(error))
    producer.flush()
producer.init_transactions()
producer.begin_transaction()
send("first")
subprocess.run(["java", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp", "classes:libs/*", "Abort", topic], check=True)
send("second")
producer.commit_transaction()
assert not errors, errors
X
cat > topics.py <<'X'
import os, sys
from confluent_kafka.admin import AdminClient, NewTopic
admin = AdminClient({"bootstrap.servers": os.environ["SERVER"]})
for future in admin.create_topics([NewTopic(name, 1, 1) for name in sys.argv[1:]]).values():
    future.result()
X
cat > read.py <<'X'
import os, sys, time
from confluent_kafka import Consumer
consumer = Consumer({"bootstrap.servers": os.environ["SERVER"], "group.id": sys.argv[1], "auto.offset.reset": "earliest",
                     "isolation.level": "read_committed", "enable.auto.commit": False})
consumer.subscribe([sys.argv[1]])
got, quiet = [], time.time() + 15
while time.time() < quiet:
    message = consumer.poll(0.2)
    if message is not None and not message.error():
        got.append(message.value().decode())
        quiet = time.time() + 3
consumer.close()
print(" ".join(got))
X
mkdir classes && javac -cp 'libs/*' -d classes Abort.java Produce.java
venv/bin/python topics.py java librdkafka
changed=0
expected=$(echo second{0..9})
produce() { case $1 in java) "${java[@]}" Produce java ;; *) venv/bin/python produce.py librdkafka ;; esac; }
java=(java -Dorg.slf4j.simpleLogger.defaultLogLevel=error -cp 'classes:libs/*')
for client in java librdkafka; do
    if produce "$client"; then echo "$client: sends and commit succeed after the abort"; else echo "$client: refused now"; changed=1; fi
    seen=$(venv/bin/python read.py "$client"); echo "$client: committed records: $seen"
    [ "$seen" = "$expected" ] || { echo "  differs: $expected was seen before"; changed=1; }
done
exit $changed
