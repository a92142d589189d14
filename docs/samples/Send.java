// Sends one report and waits until it is counted up to the nation. JDK 17 or newer, nothing else: java Send.java
// GATEWAY_URL and GATEWAY_TOKEN are needed; UNIT, PERIOD, PERSONS and AFTER (the revision that was seen) may be given.
// Ends with 0 counted, 1 refused, 3 somebody else sent another revision, 4 no answer for a minute.
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.time.Duration;
import java.time.Instant;
import java.util.Set;
import java.util.UUID;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

public class Send {
    static final HttpClient HTTP = HttpClient.newBuilder().connectTimeout(Duration.ofSeconds(10)).build();
    /** Worth a repeat with the same key; 409 only while the first request is being worked on. */
    static final Set<Integer> LATER = Set.of(409, 429, 502, 503, 504);

    public static void main(String[] arguments) throws InterruptedException {
        System.exit(send());
    }

    static int send() throws InterruptedException {
        String persons = given("PERSONS", "16");
        String report = """
            {"form": "testing-daily", "unit": "%s", "period": "%s",
             "rows": [{"method": "antigen", "sample": "single", "persons": %s, "tubes": %s,
                       "positive_tubes": 0, "positive_persons": 0}]}
            """.formatted(given("UNIT", "03390"), given("PERIOD", "2021-12-13"), persons, persons);
        // One key for this report, however often the request is repeated: a repeat is then never a second report.
        HttpRequest.Builder request = request("/v1/reports")
            .header("Content-Type", "application/json")
            .header("Idempotency-Key", "\"" + UUID.randomUUID() + "\"")
            .POST(HttpRequest.BodyPublishers.ofString(report));
        String after = given("AFTER", "");
        if (after.equals("0")) request.header("If-None-Match", "*");
        else if (!after.isEmpty()) request.header("If-Match", "\"" + after + "\"");

        Instant deadline = Instant.now().plusSeconds(60);
        String receipt = null;
        while (receipt == null) {
            long wait = 2;
            String said;
            try {
                HttpResponse<String> answer = HTTP.send(request.build(), BodyHandlers.ofString());
                int status = answer.statusCode();
                String type = member(answer.body(), "type");
                if (status == 202) {
                    receipt = member(answer.body(), "receipt");
                    System.out.println("acknowledged: revision " + member(answer.body(), "revision") + ", " + receipt);
                    break;
                }
                if (status == 412 || type.endsWith(":revision-taken")) {
                    System.err.println("another revision stands: " + member(answer.body(), "highest_revision"));
                    return 3;
                }
                if (!LATER.contains(status)) { // 400, 401, 403, 413, 422: a repeat does not help
                    System.err.println(status + " " + member(answer.body(), "detail"));
                    return 1;
                }
                wait = answer.headers().firstValueAsLong("Retry-After").orElse(wait);
                said = String.valueOf(status);
            } catch (IOException error) { // no answer: whether it arrived is not known
                said = error.toString();
            }
            if (Instant.now().isAfter(deadline)) {
                System.err.println("no answer for a minute (" + said + ")");
                return 4;
            }
            System.err.println(said + ", again in " + wait + " s");
            Thread.sleep(wait * 1000);
        }
        return counted(receipt, deadline.plusSeconds(60));
    }

    static int counted(String receipt, Instant deadline) throws InterruptedException {
        while (Instant.now().isBefore(deadline)) {
            try {
                HttpResponse<String> answer = HTTP.send(request(receipt).GET().build(), BodyHandlers.ofString());
                String outcome = answer.statusCode() == 200 ? member(answer.body(), "outcome") : "pending";
                if (outcome.equals("accepted") && !answer.body().contains("\"counted\":false")) {
                    System.out.println("accepted, counted up to the nation");
                    return 0;
                }
                if (!Set.of("pending", "accepted").contains(outcome)) {
                    System.out.println(outcome + ": " + member(answer.body(), "said") + " " + member(answer.body(), "detail"));
                    return outcome.equals("duplicate") ? 0 : 1;
                }
            } catch (IOException error) {
                System.err.println(error);
            }
            Thread.sleep(1000);
        }
        System.err.println("not counted yet");
        return 4;
    }

    static HttpRequest.Builder request(String path) {
        return HttpRequest.newBuilder(URI.create(System.getenv("GATEWAY_URL") + path))
            .timeout(Duration.ofSeconds(30))
            .header("Authorization", "Bearer " + System.getenv("GATEWAY_TOKEN"))
            .header("Accept-Language", "en");
    }

    /** The first member of that name, as text. The JDK reads no JSON; a real program uses its library. */
    static String member(String json, String name) {
        Matcher found = Pattern.compile("\"" + name + "\"\\s*:\\s*(?:\"([^\"]*)\"|([^,}\\s]+))").matcher(json);
        if (!found.find() || "null".equals(found.group(2))) return "";
        return found.group(1) != null ? found.group(1) : found.group(2);
    }

    static String given(String name, String otherwise) {
        String found = System.getenv(name);
        return found == null ? otherwise : found;
    }
}
