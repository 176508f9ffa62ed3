#!/usr/bin/env bash
# A member of a group commits an offset of a partition that belongs to another member by now. The broker takes it: it asks
# whether the committing member is in the group with the present generation (or member epoch), not whether it owns the partition.
# The owner's own commit is moved back or forth, and the next owner begins there.
#
# Versions: Apache Kafka 4.4.0 (broker and Java client), confluent-kafka 2.16.1 (librdkafka 2.16.0). Needs Java 17, Maven and
# Python 3 with venv; takes about a minute.
#
# Steps: member a has all six partitions of a topic; b joins, and three move to it. b commits offset 100 of one of them. Then a,
# which is told all along which partitions it has, commits offset 50 of the same.
#
# A reader would expect the second commit to be refused, at least by the protocol of KIP-848, where the coordinator itself
# assigns partitions and fences members by epoch.
# Seen, for both clients and both protocols: no error; the committed offset is 50.
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

cat > Move.java <<'X'
import java.time.Duration;
import java.util.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.common.TopicPartition;
public class Move {
    static KafkaConsumer<String, String> member(String group, String protocol) {
        var settings = new Properties();
        settings.put("bootstrap.servers", System.getenv("SERVER"));
        settings.put("group.id", group);
        settings.put("group.protocol", protocol);
        settings.put("enable.auto.commit", "false");
        if (protocol.equals("classic"))
            settings.put("partition.assignment.strategy", "org.apache.kafka.clients.consumer.CooperativeStickyAssignor");
        for (var it : List.of("key.deserializer", "value.deserializer"))
            settings.put(it, "org.apache.kafka.common.serialization.StringDeserializer");
        var member = new KafkaConsumer<String, String>(settings);
        member.subscribe(List.of("work"));
        return member;
    }
    public static void main(String[] args) {
        var a = member(args[0], args[1]);
        while (a.assignment().size() != 6) a.poll(Duration.ofMillis(100));
        var b = member(args[0], args[1]);
        while (a.assignment().size() != 3 || b.assignment().size() != 3) {
            a.poll(Duration.ofMillis(100));
            b.poll(Duration.ofMillis(100));
        }
        TopicPartition moved = b.assignment().iterator().next();
        b.commitSync(Map.of(moved, new OffsetAndMetadata(100)));
        if (a.assignment().contains(moved)) throw new IllegalStateException("it has not moved");
        a.commitSync(Map.of(moved, new OffsetAndMetadata(50)));
        System.out.println(b.committed(Set.of(moved)).get(moved).offset());
        a.close();
        b.close();
    }
}
X
cat > move.py <<'X'
import os, sys
from confluent_kafka import Consumer, TopicPartition
group, protocol = sys.argv[1:]
def member():
    settings = {"bootstrap.servers": os.environ["SERVER"], "group.id": group, "group.protocol": protocol,
                "enable.auto.commit": False}
    if protocol == "classic":
        settings["partition.assignment.strategy"] = "cooperative-sticky"
    consumer = Consumer(settings)
    consumer.subscribe(["work"])
    return consumer
a = member()
while len(a.assignment()) != 6:
    a.poll(0.1)
b = member()
while len(a.assignment()) != 3 or len(b.assignment()) != 3:
    a.poll(0.1), b.poll(0.1)
moved = b.assignment()[0]
at = lambda offset: [TopicPartition(moved.topic, moved.partition, offset)]
b.commit(offsets=at(100), asynchronous=False)
assert moved.partition not in [it.partition for it in a.assignment()], "it has not moved"
a.commit(offsets=at(50), asynchronous=False)
print(b.committed(at(0))[0].offset)
a.close()
b.close()
X
mkdir classes && javac -cp 'libs/*' -d classes Move.java
venv/bin/python - <<'X'
import os
from confluent_kafka.admin import AdminClient, NewTopic
admin = AdminClient({"bootstrap.servers": os.environ["SERVER"]})
for future in admin.create_topics([NewTopic("work", 6, 1)]).values():
    future.result()
X
move() {
    case $1 in
        java) timeout 90 java -Dorg.slf4j.simpleLogger.defaultLogLevel=error -cp 'classes:libs/*' Move "$1-$2" "$2" ;;
        *) timeout 90 venv/bin/python move.py "$1-$2" "$2" ;;
    esac
}
changed=0
for client in java librdkafka; do
    for protocol in classic consumer; do
        seen=$(move $client $protocol) || seen="an error"
        echo "$client, $protocol protocol: committed offset $seen"
        [ "$seen" = 50 ] || { echo "  differs: 50 was seen before"; changed=1; }
    done
done
exit $changed
