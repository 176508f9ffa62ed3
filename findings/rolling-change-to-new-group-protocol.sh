#!/usr/bin/env bash
# A rolling change of a group from the classic protocol to that of KIP-848 (`group.protocol=consumer`), as Kafka documents it:
# one member after another is replaced. Where the old members are librdkafka's with the strategy cooperative-sticky, the broker
# refuses the first new member, and names a cause that misleads: "The group id does not exist".
#
# Versions: Apache Kafka 4.4.0 (broker and Java client), confluent-kafka 2.16.1 (librdkafka 2.16.0), all else by default
# (group.consumer.migration.policy=bidirectional). Needs Java 17, Maven and Python 3 with venv; takes a minute and a half.
#
# Steps: two classic members share the six partitions of a topic; a third joins with group.protocol=consumer.
#
# A reader would expect all four groups to admit it, since cooperative-sticky is one of the standard assignors, and the Java
# client's own is admitted.
# Seen: admitted with the default strategies of both clients, and with the Java client's CooperativeStickyAssignor. With
# librdkafka's cooperative-sticky the new member gets a fatal error. The true cause is in the broker's log alone: the old
# members send user data with their subscriptions, which the broker takes for that of a custom assignor.
# The script fails when that changes.
set -euo pipefail
dir=$(mktemp -d); broker=; members=()
trap 'kill -9 "${members[@]}" 2>/dev/null || true; [ -z "$broker" ] || kill "$broker" 2>/dev/null; wait 2>/dev/null; rm -rf "$dir"' EXIT
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
logging=(-Dorg.slf4j.simpleLogger.log.org.apache.kafka.coordinator.group.GroupMetadataManager=info)
"${java[@]}" "${logging[@]}" kafka.Kafka server.properties > broker.log 2>&1 & broker=$!
for _ in $(seq 300); do (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break; sleep 0.1; done

cat > Member.java <<'X'
import java.time.Duration;
import java.util.*;
import org.apache.kafka.clients.consumer.*;
public class Member {
    /** Joins a group with settings, and prints each error, and how many partitions it has whenever that changes. */
    public static void main(String[] args) throws Exception {
        var settings = new Properties();
        settings.put("bootstrap.servers", System.getenv("SERVER"));
        settings.put("group.id", args[0]);
        for (var it : List.of("key.deserializer", "value.deserializer"))
            settings.put(it, "org.apache.kafka.common.serialization.StringDeserializer");
        for (int i = 2; i < args.length; i++) settings.put(args[i].split("=")[0], args[i].split("=")[1]);
        try (var consumer = new KafkaConsumer<String, String>(settings)) {
            consumer.subscribe(List.of("work"));
            int had = -1;
            while (true) {
                try {
                    consumer.poll(Duration.ofMillis(100));
                } catch (Exception error) {
                    System.out.println(args[1] + " error " + error.getClass().getSimpleName() + ": " + error.getMessage());
                    System.out.flush();
                    Thread.sleep(1000);
                }
                int has = consumer.assignment().size();
                if (has != had) { System.out.println(args[1] + " has " + has); System.out.flush(); }
                had = has;
            }
        }
    }
}
X
cat > member.py <<'X'
import os, sys, time
from confluent_kafka import Consumer
settings = dict(arg.split("=") for arg in sys.argv[3:])
errors = lambda error: print(sys.argv[2], "event", error, flush=True)
consumer = Consumer({"bootstrap.servers": os.environ["SERVER"], "group.id": sys.argv[1], "error_cb": errors, **settings})
consumer.subscribe(["work"])
had = -1
while True:
    message = consumer.poll(0.1)
    if message is not None and message.error():
        print(sys.argv[2], "error", message.error(), flush=True)
    has = len(consumer.assignment())
    if has != had: print(sys.argv[2], "has", has, flush=True)
    had = has
X
mkdir classes && javac -cp 'libs/*' -d classes Member.java
venv/bin/python - <<'X'
import os
from confluent_kafka.admin import AdminClient, NewTopic
admin = AdminClient({"bootstrap.servers": os.environ["SERVER"]})
for future in admin.create_topics([NewTopic("work", 6, 1)]).values():
    future.result()
X
# member CLIENT GROUP NAME SETTING...: starts a member, whose lines go to the file GROUP.
member() {
    local client=$1 group=$2; shift
    case $client in
        java) java -Dorg.slf4j.simpleLogger.defaultLogLevel=off -cp 'classes:libs/*' Member "$@" >> "$group" & ;;
        *) venv/bin/python member.py "$@" >> "$group" 2> /dev/null & ;;
    esac
    members+=($!)
}
# until FILE PATTERN...: waits up to a minute for a line of each pattern to come last of its member.
until_seen() {
    local file=$1 pattern; shift
    for pattern in "$@"; do
        for _ in $(seq 600); do
            grep "^${pattern%% *} " "$file" 2> /dev/null | tail -1 | grep -Eq "^$pattern" && continue 2
            sleep 0.1
        done
        return 1
    done
}
changed=0
check() {
    local group=$1 client=$2 expected=$3 seen; shift 3
    member "$client" "$group" a "$@"
    until_seen "$group" "a has 6" || { echo "$group: the first member has no partitions"; exit 1; }
    member "$client" "$group" b "$@"
    until_seen "$group" "a has 3" "b has 3" || { echo "$group: two members do not share"; exit 1; }
    member "$client" "$group" c group.protocol=consumer
    seen=silent
    for _ in $(seq 600); do
        if grep -q "^c error" "$group"; then seen=refused; break; fi
        if grep -q "^c has 2" "$group"; then seen=admitted; break; fi
        sleep 0.1
    done
    echo "$group: $seen"
    grep "^c error" "$group" | head -1 || true
    grep -o "Cannot upgrade[^.]*$group[^.]*\." broker.log | head -1 || true
    [ "$seen" = "$expected" ] || { echo "  differs: $expected was seen before"; changed=1; }
    kill -9 "${members[@]}" 2> /dev/null || true
    wait "${members[@]}" 2> /dev/null || true
    members=()
}
cooperative=partition.assignment.strategy
check java-default java admitted
check java-cooperative java admitted $cooperative=org.apache.kafka.clients.consumer.CooperativeStickyAssignor
check librdkafka-default librdkafka admitted
check librdkafka-cooperative librdkafka refused $cooperative=cooperative-sticky
exit $changed
