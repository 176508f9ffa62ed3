import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** Runs steps of operations of kser: reads the messages of a topic, and reports the end of each step. */
final class ExternalSteps implements AutoCloseable {
    /** Bytes. A larger result would fail the step where it is reported. */
    static final int LARGEST_RESULT = 256 * 1024;

    /** A task: returns the fields that the steps to come are given beside those of the steps before. */
    interface Task {
        Map<String, Object> run(KserMessage step) throws Exception;
    }

    /** A failure with a name and a code, from 400 on; of any other exception the code is 500. */
    static final class Failed extends Exception {
        private static final long serialVersionUID = 1;

        final String name;
        final int code;

        Failed(String name, int code, String message) {
            super(message);
            this.name = name;
            this.code = code;
        }
    }

    private final Map<String, Task> tasks;
    private final KafkaConsumer<byte[], byte[]> consumer;
    private final KafkaProducer<String, byte[]> producer;

    /** Reads a topic in a group of its own; {@code instance} is a name that stays the same when this process is started again. */
    ExternalSteps(String servers, String group, String instance, String topic, Map<String, Task> tasks) {
        this.tasks = tasks;
        this.consumer = new KafkaConsumer<>(
                Map.of(
                        "bootstrap.servers", servers,
                        "group.id", group,
                        // A member that is killed and started again goes on at once.
                        "group.instance.id", instance,
                        "auto.offset.reset", "earliest",
                        // An offset is committed after the report. One record at a time, so that max.poll.interval.ms (5
                        // minutes) is the longest that one task may take.
                        "enable.auto.commit", "false",
                        "max.poll.records", "1",
                        // Others may write in transactions.
                        "isolation.level", "read_committed"),
                new ByteArrayDeserializer(),
                new ByteArrayDeserializer());
        this.producer = new KafkaProducer<>(
                Map.of("bootstrap.servers", servers, "acks", "all"), new StringSerializer(), new ByteArraySerializer());
        consumer.subscribe(List.of(topic));
    }

    /** Runs steps for ever. What it throws ends the program; the record at hand is not committed then, and comes again. */
    void run() throws ExecutionException, InterruptedException {
        while (true) {
            for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofSeconds(1))) {
                work(record);
                consumer.commitSync();
            }
        }
    }

    private void work(ConsumerRecord<byte[], byte[]> record) throws ExecutionException, InterruptedException {
        KserMessage message;
        try {
            message = KserMessage.read(record.value() == null ? new byte[0] : record.value());
        } catch (IOException exception) {
            System.err.printf("no message at %s-%d: %s%n", record.topic(), record.offset(), exception.getMessage());
            return;
        }
        if (message.isNewer()) {
            throw new IllegalStateException("the message is of a newer version of kser");
        }
        ObjectNode result = result(message);
        if (message.isStep()) {
            // get() waits for the brokers, and throws if they do not have the report.
            producer.send(new ProducerRecord<>(message.reply(), message.run(), message.report(result))).get();
        }
    }

    /** Runs the task. Whatever goes wrong is a result, too: an exception that is not reported would lose the step. */
    private ObjectNode result(KserMessage message) {
        try {
            Task task = tasks.get(message.entrypoint);
            if (task == null) {
                throw new Failed("ValidationError", 400, "there is no task " + message.entrypoint);
            }
            ObjectNode result = result(message.uuid, 0, "", KserMessage.JSON.valueToTree(task.run(message)));
            int bytes = result.toString().getBytes(StandardCharsets.UTF_8).length;
            if (bytes > LARGEST_RESULT) {
                throw new Failed("TooLarge", 413, "the result has " + bytes + " bytes");
            }
            return result;
        } catch (Failed failed) {
            return failure(message.uuid, failed.name, failed.code, failed.getMessage());
        } catch (Exception exception) {
            return failure(message.uuid, exception.getClass().getSimpleName(), 500, String.valueOf(exception.getMessage()));
        }
    }

    private static ObjectNode failure(String uuid, String name, int code, String message) {
        ObjectNode retval = KserMessage.JSON.createObjectNode();
        retval.putObject("error").put("name", name).put("code", code).put("message", message);
        return result(uuid, code, message, retval);
    }

    /** No field may be null. */
    private static ObjectNode result(String uuid, int retcode, String stderr, JsonNode retval) {
        ObjectNode result = KserMessage.JSON.createObjectNode();
        result.put("uuid", uuid).put("retcode", retcode).put("stdout", "").put("stderr", stderr);
        return result.set("retval", retval);
    }

    @Override
    public void close() {
        consumer.close();
        producer.close();
    }
}
