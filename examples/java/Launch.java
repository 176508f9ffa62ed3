import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** Launches an operation of kser, and waits for its end in the topic of the events. */
final class Launch {
    private static final Set<String> ENDS = Set.of("SUCCESS", "FAILED", "CANCELLED");

    public static void main(String[] arguments) throws Exception {
        if (arguments.length != 5) {
            System.err.println("Launch SERVERS PREFIX ENTRYPOINT ID PARAMS");
            System.exit(2);
        }
        String servers = arguments[0];
        String prefix = arguments[1];
        String entrypoint = arguments[2];
        String id = arguments[3];
        // The message of an operation goes to the topic of its first segment, unless a route says otherwise.
        String topic = prefix + entrypoint.split("\\.", 2)[0];
        ObjectNode message = KserMessage.JSON.createObjectNode().put("uuid", id).put("entrypoint", entrypoint);
        message.set("params", KserMessage.JSON.readTree(arguments[4]));
        byte[] launch = message.toString().getBytes(StandardCharsets.UTF_8);

        try (KafkaConsumer<String, byte[]> events = new KafkaConsumer<>(
                        Map.of("bootstrap.servers", servers, "isolation.level", "read_committed"),
                        new StringDeserializer(),
                        new ByteArrayDeserializer());
                KafkaProducer<String, byte[]> producer = new KafkaProducer<>(
                        Map.of("bootstrap.servers", servers, "acks", "all"),
                        new StringSerializer(),
                        new ByteArraySerializer())) {
            // It begins to look before it launches: an end that comes at once is not missed.
            fromTheEnd(events, prefix + "kser.events");
            producer.send(new ProducerRecord<>(topic, id, launch)).get();
            JsonNode end = end(events, id);
            System.out.printf("%s %s %s%n", id, end.path("status").asText(), end.path("outcome").path("retval"));
        }
    }

    private static void fromTheEnd(KafkaConsumer<String, byte[]> events, String topic) {
        List<TopicPartition> partitions = events.partitionsFor(topic).stream()
                .map(partition -> new TopicPartition(topic, partition.partition()))
                .toList();
        events.assign(partitions);
        events.seekToEnd(partitions);
        // Seeking is done when a position is asked for, not before.
        partitions.forEach(events::position);
    }

    /** Waits for the first event that tells the end of a run. An equal version is a repetition. */
    private static JsonNode end(KafkaConsumer<String, byte[]> events, String run) throws Exception {
        long seen = 0;
        while (true) {
            for (ConsumerRecord<String, byte[]> record : events.poll(Duration.ofSeconds(1))) {
                if (!run.equals(record.key())) {
                    continue;
                }
                JsonNode event = KserMessage.JSON.readTree(record.value());
                if (event.path("version").asLong() <= seen) {
                    continue;
                }
                seen = event.path("version").asLong();
                System.out.printf("%s %s%n", run, event.path("status").asText());
                if (ENDS.contains(event.path("status").asText())) {
                    return event;
                }
            }
        }
    }
}
