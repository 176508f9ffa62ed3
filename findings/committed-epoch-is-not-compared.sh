#!/usr/bin/env bash
# A consumer of a group whose committed offset has a leader epoch does not compare the log with it when it starts, in librdkafka.
# After an unclean election it goes on in the middle of records that nobody has read, and skips those before. KIP-320 puts the
# epoch into commits for this comparison, and librdkafka lists it as supported. It writes the epoch, reads it back, and compares
# after `assign` and `seek`, but not with the offset that it fetches itself after `subscribe`.
#
# Versions: Apache Kafka 4.4.0 (broker and Java client), confluent-kafka 2.16.1 (librdkafka 2.16.0). Needs Java 17, Maven and
# Python 3 with venv; takes about a minute.
#
# Steps: 20 records are written, the broker restarts (so that a new leader epoch begins), and 20 more are written. Offset 35
# with the first epoch is the position of a consumer whose log went on to offset 35 under the first leader: of that log only
# the first 20 records are left, so a consumer has to go on at offset 20. The position is committed and left to `subscribe`,
# given to `assign`, and given to `seek`.
#
# A reader would expect that all begin at offset 20, as the Java client does.
# Seen: after `subscribe` librdkafka begins at 35, without an error. All others begin at 20.
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
group.initial.rebalance.delay.ms=0
X
java=(java -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dorg.slf4j.simpleLogger.defaultLogLevel=error -cp 'libs/*')
"${java[@]}" kafka.tools.StorageTool format -t AAAAAAAAAAAAAAAAAAAAAA -c server.properties > /dev/null
start() {
    "${java[@]}" kafka.Kafka server.properties > broker.log 2>&1 & broker=$!
    for _ in $(seq 1200); do (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break; sleep 0.1; done
}

cat > write.py <<'X'
import os, sys
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
settings = {"bootstrap.servers": os.environ["SERVER"]}
if sys.argv[1] == "first":
    admin = AdminClient(settings)
    for future in admin.create_topics([NewTopic("work", 1, 1)]).values():
        future.result()
producer = Producer(settings)
for n in range(20):
    producer.produce("work", f"{sys.argv[1]} {n}", partition=0)
assert producer.flush(30) == 0
X
cat > read.py <<'X'
import os, sys
from confluent_kafka import Consumer, TopicPartition
def consumer(group):
    return Consumer({"bootstrap.servers": os.environ["SERVER"], "group.id": group, "enable.auto.commit": False,
                     "auto.offset.reset": "earliest"})
def first(consumer):
    while True:
        message = consumer.poll(30)
        assert message is not None, "no record comes"
        if not message.error():
            return message
how = sys.argv[1]
reader = consumer("reader")
reader.assign([TopicPartition("work", 0, 0)])
epoch = first(reader).leader_epoch()
reader.assign([TopicPartition("work", 0, 30)])
assert first(reader).leader_epoch() > epoch, "no new epoch has begun"
position = TopicPartition("work", 0, 35, leader_epoch=epoch)
tried = consumer("librdkafka-" + how)
if how == "assign":
    tried.assign([position])
elif how == "subscribe":
    tried.commit(offsets=[position], asynchronous=False)
    assert tried.committed([TopicPartition("work", 0)])[0].leader_epoch == epoch
    tried.subscribe(["work"])
else:
    tried.assign([TopicPartition("work", 0, 0)])
    first(tried)
    tried.seek(position)
print(first(tried).offset())
reader.close()
tried.close()
X
cat > Read.java <<'X'
import java.time.Duration;
import java.util.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.common.TopicPartition;
public class Read {
    static final TopicPartition PARTITION = new TopicPartition("work", 0);
    static KafkaConsumer<String, String> consumer(String group) {
        var settings = new Properties();
        settings.put("bootstrap.servers", System.getenv("SERVER"));
        settings.put("group.id", group);
        settings.put("enable.auto.commit", "false");
        settings.put("auto.offset.reset", "earliest");
        for (var it : List.of("key.deserializer", "value.deserializer"))
            settings.put(it, "org.apache.kafka.common.serialization.StringDeserializer");
        return new KafkaConsumer<>(settings);
    }
    static ConsumerRecord<String, String> first(KafkaConsumer<String, String> consumer) {
        for (int n = 0; n < 300; n++)
            for (var record : consumer.poll(Duration.ofMillis(100))) return record;
        throw new IllegalStateException("no record comes");
    }
    public static void main(String[] args) {
        var reader = consumer("reader");
        reader.assign(List.of(PARTITION));
        reader.seek(PARTITION, 0);
        var position = new OffsetAndMetadata(35, first(reader).leaderEpoch(), "");
        var tried = consumer("java-" + args[0]);
        if (args[0].equals("subscribe")) {
            tried.commitSync(Map.of(PARTITION, position));
            tried.subscribe(List.of("work"));
        } else {
            tried.assign(List.of(PARTITION));
            tried.seek(PARTITION, position);
        }
        System.out.println(first(tried).offset());
        reader.close();
        tried.close();
    }
}
X
mkdir classes && javac -cp 'libs/*' -d classes Read.java
start
venv/bin/python write.py first
kill "$broker"; wait "$broker" || true
start
venv/bin/python write.py second

changed=0
look() {
    echo "$1, $2: begins at offset $4"
    [ "$4" = "$3" ] || { echo "  differs: $3 was seen before"; changed=1; }
}
look librdkafka assign 20 "$(timeout 90 venv/bin/python read.py assign || echo 'an error')"
look librdkafka subscribe 35 "$(timeout 90 venv/bin/python read.py subscribe || echo 'an error')"
look librdkafka seek 20 "$(timeout 90 venv/bin/python read.py seek || echo 'an error')"
for how in subscribe seek; do
    look java $how 20 "$(timeout 90 java -Dorg.slf4j.simpleLogger.defaultLogLevel=error -cp 'classes:libs/*' Read $how || echo 'an error')"
done
exit $changed
