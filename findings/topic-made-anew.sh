#!/usr/bin/env bash
# A topic that is deleted and created again under a running consumer: of 600 new records, the first 500 are skipped without an
# error by every client that keeps its position, the Java client's classic protocol among them.
#
# Versions: Apache Kafka 4.4.0 (broker and Java client), confluent-kafka 2.16.1 (librdkafka 2.16.0), kafka-python 3.0.12,
# aiokafka 0.14.0. Needs Java 17, Maven and Python 3 with venv; takes about a minute.
#
# Steps: a consumer reads and commits 500 records of a topic of one partition. The topic is deleted, created under the same name
# and filled with 600 records, all within half a second. The consumer goes on for 20 seconds.
#
# A reader would expect the records 0 to 599 of the new topic, or an error (OFFSET_OUT_OF_RANGE, UNKNOWN_TOPIC_ID).
# Seen, new records that arrive:
#   librdkafka               100   goes on at offset 500 of the new log; no error, no log line
#   kafka-python             100   the same
#   Java, group.protocol=classic    100   the same
#   aiokafka                   0   receives nothing more; its log says that the topic is not in the metadata
#   Java, group.protocol=consumer   at least 600   the new partition is a new assignment, read from the earliest record; those
#                                  that the old position had covered before come twice
# The script fails when one of these changes.
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
venv/bin/pip -q --disable-pip-version-check install confluent-kafka==2.16.1 kafka-python==3.0.12 aiokafka==0.14.0

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
group.initial.rebalance.delay.ms=0
X
java=(java -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dorg.slf4j.simpleLogger.defaultLogLevel=error -cp 'libs/*')
"${java[@]}" kafka.tools.StorageTool format -t AAAAAAAAAAAAAAAAAAAAAA -c server.properties > /dev/null
"${java[@]}" kafka.Kafka server.properties > broker.log 2>&1 & broker=$!
for _ in $(seq 300); do (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break; sleep 0.1; done

# Creates and fills the topics. `anew.py NAME` deletes, creates and fills one; `anew.py NAME first` only creates and fills it.
cat > anew.py <<'X'
import os, sys, time
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic
server, topic, first = os.environ["SERVER"], sys.argv[1], sys.argv[2:] == ["first"]
admin = AdminClient({"bootstrap.servers": server})
if not first:
    admin.delete_topics([topic])[topic].result()
for _ in range(200):
    try:
        admin.create_topics([NewTopic(topic, 1, 1)])[topic].result()
        break
    except KafkaException:
        time.sleep(0.02)
producer = Producer({"bootstrap.servers": server})
for i in range(500 if first else 600):
    producer.produce(topic, b"old" if first else b"new", partition=0)
producer.flush()
X
# Reads 500, has the topic made anew, reads for 20 s, prints how many new ones came.
cat > read.py <<'X'
import asyncio, os, subprocess, sys, time
server, kind = os.environ["SERVER"], sys.argv[1]
got = []
def anew():
    subprocess.run([sys.executable, "anew.py", kind], check=True)
def session(read, commit):
    while len(got) < 500:
        read()
    commit()
    anew()
    end = time.time() + 20
    while time.time() < end:
        read()
if kind == "librdkafka":
    from confluent_kafka import Consumer
    consumer = Consumer({"bootstrap.servers": server, "group.id": kind, "auto.offset.reset": "earliest",
                         "enable.auto.commit": False})
    consumer.subscribe([kind])
    def read():
        message = consumer.poll(0.1)
        if message is not None:
            assert message.error() is None, message.error()
            got.append(message.value())
    session(read, lambda: consumer.commit(asynchronous=False))
    consumer.close()
elif kind == "kafka-python":
    from kafka import KafkaConsumer
    consumer = KafkaConsumer(kind, bootstrap_servers=server, group_id=kind, auto_offset_reset="earliest",
                             enable_auto_commit=False)
    session(lambda: got.extend(m.value for some in consumer.poll(100).values() for m in some), consumer.commit)
    consumer.close()
else:
    from aiokafka import AIOKafkaConsumer
    async def main():
        consumer = AIOKafkaConsumer(kind, bootstrap_servers=server, group_id=kind, auto_offset_reset="earliest",
                                    enable_auto_commit=False)
        await consumer.start()
        async def read():
            for some in (await consumer.getmany(timeout_ms=100)).values():
                got.extend(m.value for m in some)
        while len(got) < 500:
            await read()
        await consumer.commit()
        await asyncio.to_thread(anew)
        end = time.time() + 20
        while time.time() < end:
            await read()
        await consumer.stop()
    asyncio.run(main())
print(got.count(b"new"))
X
cat > Read.java <<'X'
import java.time.Duration;
import java.util.*;
import org.apache.kafka.clients.consumer.*;
public class Read {
    public static void main(String[] args) throws Exception {
        var settings = new Properties();
        settings.put("bootstrap.servers", System.getenv("SERVER"));
        settings.put("group.id", args[0]);
        settings.put("group.protocol", args[0]);
        settings.put("auto.offset.reset", "earliest");
        settings.put("enable.auto.commit", "false");
        for (var it : List.of("key.deserializer", "value.deserializer"))
            settings.put(it, "org.apache.kafka.common.serialization.StringDeserializer");
        var got = new ArrayList<String>();
        try (var consumer = new KafkaConsumer<String, String>(settings)) {
            consumer.subscribe(List.of(args[0]));
            while (got.size() < 500)
                for (var record : consumer.poll(Duration.ofMillis(100))) got.add(record.value());
            consumer.commitSync();
            new ProcessBuilder("venv/bin/python", "anew.py", args[0]).inheritIO().start().waitFor();
            for (long end = System.currentTimeMillis() + 20_000; System.currentTimeMillis() < end; )
                for (var record : consumer.poll(Duration.ofMillis(100))) got.add(record.value());
        }
        System.out.println(Collections.frequency(got, "new"));
    }
}
X
# One after another up to the twenty seconds, then at once.
for kind in librdkafka kafka-python aiokafka classic consumer; do venv/bin/python anew.py "$kind" first; done
for kind in librdkafka kafka-python aiokafka; do venv/bin/python read.py "$kind" > "$kind.out" 2> "$kind.err" & reads+=($!); done
for kind in classic consumer; do "${java[@]}" Read.java "$kind" > "$kind.out" 2> "$kind.err" & reads+=($!); done
wait "${reads[@]}"
changed=0
expect() { # name, the least and the most that are as described
    seen=$(cat "$1.out"); echo "$1: $seen of 600 new records"
    if [ -z "$seen" ] || [ "$seen" -lt "$2" ] || [ "$seen" -gt "$3" ]; then
        echo "  differs: $2 to $3 were seen before"; tail -5 "$1.err"; changed=1
    fi
}
expect librdkafka 1 599
expect kafka-python 1 599
expect aiokafka 0 0
expect classic 1 599
expect consumer 600 1200
exit $changed
