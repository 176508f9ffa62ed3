import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.cfg.JsonNodeFeature;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;

/** A message of kser: its fields, and the text of its metadata as it came. */
final class KserMessage {
    /** Reads numbers without rounding them. What it writes of 1E2 or -0.0 still differs from what it has read. */
    static final ObjectMapper JSON = JsonMapper.builder()
            .enable(DeserializationFeature.USE_BIG_DECIMAL_FOR_FLOATS)
            .disable(JsonNodeFeature.STRIP_TRAILING_BIGDECIMAL_ZEROES)
            .build();

    /** Names the task; of a step it is the same at each delivery and each attempt. */
    final String uuid;
    final String entrypoint;
    final JsonNode params;
    /** The retval that the steps before have left. */
    final JsonNode given;
    /** Has to be handed on as it is: it holds the params of the steps to come, which JSON libraries would write otherwise. */
    final String metadata;
    /** {@code metadata.kser}, of which run, name, step, of, mode and reply may be read. */
    final JsonNode kser;

    private KserMessage(String uuid, String entrypoint, JsonNode params, JsonNode given, String metadata)
            throws IOException {
        this.uuid = uuid;
        this.entrypoint = entrypoint;
        this.params = params;
        this.given = given;
        this.metadata = metadata;
        this.kser = JSON.readTree(metadata).path("kser");
    }

    /** Reads the value of a record; throws IOException if that is no message. */
    static KserMessage read(byte[] value) throws IOException {
        String text = StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(value)).toString();
        String uuid = null;
        String entrypoint = null;
        JsonNode params = JSON.createObjectNode();
        JsonNode result = JSON.createObjectNode();
        String metadata = "{}";
        try (JsonParser json = JSON.createParser(text)) {
            if (json.nextToken() != JsonToken.START_OBJECT) {
                throw new IOException("a message is an object");
            }
            while (json.nextToken() == JsonToken.FIELD_NAME) {
                String name = json.currentName();
                json.nextToken();
                int start = (int) json.currentTokenLocation().getCharOffset();
                switch (name) {
                    case "uuid" -> uuid = json.getValueAsString();
                    case "entrypoint" -> entrypoint = json.getValueAsString();
                    case "params" -> params = JSON.readTree(json);
                    case "result" -> result = JSON.readTree(json);
                    case "metadata" -> {
                        json.skipChildren();
                        metadata = text.substring(start, (int) json.currentLocation().getCharOffset());
                    }
                    default -> json.skipChildren();
                }
            }
        }
        if (uuid == null || entrypoint == null) {
            throw new IOException("a message has a uuid and an entrypoint");
        }
        return new KserMessage(uuid, entrypoint, params, result.path("retval"), metadata);
    }

    /** Says whether the sender waits for a report. */
    boolean isStep() {
        return kser.path("v").asInt() == 1 && kser.path("reply").isTextual();
    }

    /** Says whether the message is of a version of kser that this program does not know. */
    boolean isNewer() {
        return kser.path("v").isInt() && kser.path("v").asInt() > 1;
    }

    /** The topic for the report, with its prefix. */
    String reply() {
        return kser.path("reply").textValue();
    }

    /** The id of the run, which is the key of the report. */
    String run() {
        return kser.path("run").textValue();
    }

    /** Writes the report of a step that has ended with this result. */
    byte[] report(ObjectNode result) {
        String report = "{\"uuid\":%s,\"entrypoint\":\"kser.StepEnded\",\"params\":{},\"result\":%s,\"metadata\":%s}";
        return report.formatted(JSON.valueToTree(uuid), result, metadata).getBytes(StandardCharsets.UTF_8);
    }
}
