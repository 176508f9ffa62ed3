import java.util.Map;

/** Approves orders: runs the steps {@code office.Approve} of operations of kser. */
final class Office {
    public static void main(String[] arguments) throws Exception {
        if (arguments.length != 3) {
            System.err.println("Office SERVERS TOPIC INSTANCE");
            System.exit(2);
        }
        Map<String, ExternalSteps.Task> tasks = Map.of("office.Approve", Office::approve);
        String group = "java." + arguments[1];
        try (ExternalSteps steps = new ExternalSteps(arguments[0], group, arguments[2], arguments[1], tasks)) {
            steps.run();
        }
    }

    private static Map<String, Object> approve(KserMessage step) throws Exception {
        int order = step.params.path("order").asInt();
        System.out.printf("approving %d for %s%n", order, step.given.path("customer").asText("a stranger"));
        // A person would take longer.
        Thread.sleep(step.params.path("ms").asInt());
        if (order < 0) {
            throw new ExternalSteps.Failed("OutOfStock", 409, "no stock for order " + order);
        }
        System.out.printf("approved %d%n", order);
        return Map.of("by", "the owner", "order", order);
    }
}
