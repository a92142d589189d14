<?php
// Sends one report and waits until it is counted up to the nation. PHP 8, no extension: php send.php
// GATEWAY_URL and GATEWAY_TOKEN are needed; UNIT, PERIOD, PERSONS and AFTER (the revision that was seen) may be given.
// Ends with 0 counted, 1 refused, 3 somebody else sent another revision, 4 no answer for a minute.
declare(strict_types=1);

// Worth a repeat with the same key; 409 only while the first request is being worked on. 0: no answer came.
const LATER = [0, 409, 429, 502, 503, 504];

/** Status, content and seconds to wait; status 0 where no whole answer came. */
function ask(string $path, ?array $report = null, array $headers = []): array
{
    $headers[] = 'Authorization: Bearer ' . getenv('GATEWAY_TOKEN');
    $headers[] = 'Accept-Language: en';
    $http = ['ignore_errors' => true, 'timeout' => 30, 'protocol_version' => 1.1];
    if ($report !== null) {
        $headers[] = 'Content-Type: application/json';
        $http += ['method' => 'POST', 'content' => json_encode($report, JSON_THROW_ON_ERROR)];
    }
    $headers[] = 'Connection: close';
    $context = stream_context_create(['http' => $http + ['header' => $headers]]);
    $body = @file_get_contents(getenv('GATEWAY_URL') . $path, false, $context);
    $said = json_decode($body === false ? '' : $body, true);
    $status = 0;
    $wait = 2;
    foreach ($http_response_header ?? [] as $line) {
        if (preg_match('~^HTTP/\S+ (\d+)~', $line, $found)) {
            $status = (int) $found[1];
        } elseif (preg_match('~^retry-after: *(\d+)~i', $line, $found)) {
            $wait = (int) $found[1];
        }
    }
    // What is not whole JSON was cut on the way, or said by something that stands before the gateway.
    return [is_array($said) ? $status : (in_array($status, LATER, true) ? $status : 0), is_array($said) ? $said : [], $wait];
}

function fail(int $code, string $message): never
{
    fwrite(STDERR, $message . "\n");
    exit($code);
}

$persons = (int) (getenv('PERSONS') ?: 16);
$report = [
    'form' => 'testing-daily', 'unit' => getenv('UNIT') ?: '03390', 'period' => getenv('PERIOD') ?: '2021-12-13',
    'rows' => [['method' => 'antigen', 'sample' => 'single', 'persons' => $persons, 'tubes' => $persons,
                'positive_tubes' => 0, 'positive_persons' => 0]],
];
// One key for this report, however often the request is repeated: a repeat is then never a second report.
$headers = ['Idempotency-Key: "' . bin2hex(random_bytes(16)) . '"'];
$after = getenv('AFTER');
if ($after === '0') {
    $headers[] = 'If-None-Match: *';
} elseif ($after !== false && $after !== '') {
    $headers[] = "If-Match: \"$after\"";
}
$deadline = time() + 60;
while (true) {
    [$status, $said, $wait] = ask('/v1/reports', $report, $headers);
    if ($status === 202) {
        break;
    }
    if ($status === 412 || str_ends_with($said['type'] ?? '', ':revision-taken')) {
        fail(3, 'another revision stands: ' . ($said['highest_revision'] ?? '?'));
    }
    if (!in_array($status, LATER, true)) { // 400, 401, 403, 413, 422: a repeat does not help
        fail(1, "$status " . ($said['detail'] ?? ''));
    }
    if (time() > $deadline) {
        fail(4, "no answer for a minute ($status)");
    }
    fwrite(STDERR, "$status, again in $wait s\n");
    sleep($wait);
}
echo "acknowledged: revision {$said['revision']}, {$said['receipt']}\n";

$receipt = $said['receipt'];
for (; time() < $deadline + 60; sleep(1)) {
    [$status, $said] = ask($receipt);
    $outcome = $status === 200 ? $said['outcome'] : 'pending';
    if ($outcome === 'accepted' && !in_array(false, array_column($said['counted'], 'counted'), true)) {
        echo "accepted, counted up to the nation\n";
        exit(0);
    }
    if ($outcome !== 'pending' && $outcome !== 'accepted') {
        echo "$outcome: {$said['said']} {$said['detail']}\n";
        exit($outcome === 'duplicate' ? 0 : 1);
    }
}
fail(4, 'not counted yet');
