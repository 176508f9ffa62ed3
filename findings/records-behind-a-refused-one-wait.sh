#!/usr/bin/env bash
# Records behind a refused one: in a transaction a topic refuses a record that is larger than its `max.message.bytes`. A producer of
# librdkafka hears of that at once, and may not commit any more. The smaller records that it had sent behind it are reported only
# when their `message.timeout.ms` is over, 5 minutes by default, and `abort_transaction` waits for so long. Without a transaction the
# same producer publishes them at once; the Java client publishes or fails them at once in a transaction, too.
#
# Versions: Apache Kafka 4.4.0 (broker and Java client), confluent-kafka 2.16.1 (librdkafka 2.16.0). Needs Java 17, Maven and
# Python 3 with venv; takes about a minute.
#
# Steps: the topic takes 2,000 bytes. A producer with one record in a batch sends 100 bytes, 5,000 bytes, and three times 100 bytes,
# without waiting between them. `message.timeout.ms` (Java: `delivery.timeout.ms`) is 12 s; "late" is a report after more than 6 s.
#
# A reader would expect the last three to fail as soon as the transaction has failed.
# Seen:
#   librdkafka, idempotent: ok, failed, ok, ok, ok
#   librdkafka, transaction: ok, failed, failed late, failed late, failed late
#   librdkafka, abort at the refusal: aborted late
#   Java, idempotent: ok, failed, ok, ok, ok
#   Java, transaction: ok, failed, ok, ok, failed (the last ones differ from run to run; none is late)
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
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
X
java=(java -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dorg.slf4j.simpleLogger.defaultLogLevel=error)
"${java[@]}" -cp 'libs/*' kafka.tools.StorageTool format -t AAAAAAAAAAAAAAAAAAAAAA -c server.properties > /dev/null
"${java[@]}" -cp 'libs/*' kafka.Kafka server.properties > broker.log 2>&1 & broker=$!
for _ in $(seq 300); do (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break; sleep 0.1; done

# Each prints one line: for each record ok or failed, and `late` where the report came after more than 6 s.
cat > Produce.java <<'X'
import java.util.*;
import java.util.concurrent.*;
import org.apache.kafka.clients.producer.*;
public class Produce {
    public static void main(String[] args) throws Exception {
        boolean transaction = args[0].equals("transaction");
        var settings = new Properties();
        settings.put("bootstrap.servers", System.getenv("SERVER"));
        settings.put("batch.size", "0");
        settings.put("linger.ms", "0");
        settings.put("request.timeout.ms", "6000");
        settings.put("delivery.timeout.ms", "12000");
        if (transaction) settings.put("transactional.id", "java");
        for (var it : List.of("key.serializer", "value.serializer"))
            settings.put(it, "org.apache.kafka.common.serialization.ByteArraySerializer");
        try (var producer = new KafkaProducer<byte[], byte[]>(settings)) {
            if (transaction) { producer.initTransactions(); producer.beginTransaction(); }
            producer.partitionsFor("small");
            var told = new ConcurrentSkipListMap<Integer, String>();
            long began = System.nanoTime();
            int[] sizes = {100, 5000, 100, 100, 100};
            for (int i = 0; i < sizes.length; i++) {
                int n = i;
                try {
                    producer.send(new ProducerRecord<>("small", 0, null, new byte[sizes[i]]), (sent, error) -> told.put(n,
                        (error == null ? "ok" : "failed") + ((System.nanoTime() - began) / 1e9 > 6 ? " late" : "")));
                } catch (Exception error) { told.put(n, "failed"); }
            }
            while (told.size() < sizes.length) Thread.sleep(50);
            System.out.println(String.join(", ", told.values()));
            if (transaction) producer.abortTransaction();
        }
    }
}
X
cat > produce.py <<'X'
import os, sys, time
from confluent_kafka import Producer
transaction = sys.argv[1] == "transaction"
settings = {"bootstrap.servers": os.environ["SERVER"], "batch.num.messages": 1, "linger.ms": 0, "enable.idempotence": True,
            "message.timeout.ms": 12000}
if transaction:
    settings["transactional.id"] = "librdkafka"
producer = Producer(settings)
if transaction:
    producer.init_transactions()
    producer.begin_transaction()
producer.list_topics("small")
told, began = {}, time.time()
for n, size in enumerate([100, 5000, 100, 100, 100]):
    def report(error, _, n=n):
        told[n] = ("failed" if error else "ok") + (" late" if time.time() - began > 6 else "")
    producer.produce("small", bytes(size), partition=0, on_delivery=report)
while len(told) < 5:
    producer.poll(0.05)
    if sys.argv[2:] == ["abort"] and "failed" in told.values():
        break
if sys.argv[2:] == ["abort"]:
    producer.abort_transaction()
    print("aborted" + (" late" if time.time() - began > 6 else ""))
    sys.exit()
print(", ".join(told[n] for n in range(5)))
X
cat > topic.py <<'X'
import os
from confluent_kafka.admin import AdminClient, NewTopic
admin = AdminClient({"bootstrap.servers": os.environ["SERVER"]})
for future in admin.create_topics([NewTopic("small", 1, 1, config={"max.message.bytes": "2000"})]).values():
    future.result()
X
venv/bin/python topic.py
mkdir classes && javac -cp 'libs/*' -d classes Produce.java
changed=0
check() {
    echo "$1: $2"
    [ "$2" = "$3" ] || { echo "  differs: $3 was seen before"; changed=1; }
}
check "librdkafka, idempotent" "$(venv/bin/python produce.py none 2> /dev/null)" "ok, failed, ok, ok, ok"
check "librdkafka, transaction" "$(venv/bin/python produce.py transaction 2> /dev/null)" "ok, failed, failed late, failed late, failed late"
check "librdkafka, abort at the refusal" "$(venv/bin/python produce.py transaction abort 2> /dev/null)" "aborted late"
check "Java, idempotent" "$("${java[@]}" -cp 'classes:libs/*' Produce none)" "ok, failed, ok, ok, ok"
# The last ones are published, or fail at once in `send`, as it comes before or after the refusal.
seen=$("${java[@]}" -cp 'classes:libs/*' Produce transaction); echo "Java, transaction: $seen"
case $seen in "ok, failed"*late*) echo "  differs: none was late before"; changed=1 ;; esac
exit $changed
