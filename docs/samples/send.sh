#!/bin/sh
# Sends one report with curl and waits until it is counted up to the nation.
# GATEWAY_URL and GATEWAY_TOKEN are needed; UNIT, PERIOD, PERSONS and AFTER (the revision that was seen) may be given.
# Ends with 0 counted, 1 refused, 3 somebody else sent another revision, 4 no answer for a minute.
set -u
unit=${UNIT:-03390} period=${PERIOD:-2021-12-13} persons=${PERSONS:-16}
work=$(mktemp -d) && trap 'rm -rf "$work"' EXIT
# One key for this report, however often the request is repeated: it is what keeps a repeat from being a second report.
key=$(cat /proc/sys/kernel/random/uuid)
condition="X-Sample: curl"
[ -z "${AFTER:-}" ] || condition="If-Match: \"$AFTER\""
[ "${AFTER:-}" != 0 ] || condition="If-None-Match: *"
cat > "$work/report.json" <<END
{"form": "testing-daily", "unit": "$unit", "period": "$period",
 "rows": [{"method": "antigen", "sample": "single", "persons": $persons, "tubes": $persons,
           "positive_tubes": 0, "positive_persons": 0}]}
END

# member NAME: the first member of that name in the answer. A real program reads JSON with a library.
member() { sed -n "s/.*\"$1\": *\"\{0,1\}\([^\",}]*\).*/\1/p" "$work/answer" | head -n 1 | grep -vx null; }
call() { # status of the answer in $work/answer, 000 where none came
  : > "$work/answer"
  curl -sS -m 30 -o "$work/answer" -D "$work/headers" -w '%{http_code}' -H "Authorization: Bearer $GATEWAY_TOKEN" \
    -H 'Accept-Language: en' "$@" 2> "$work/error" || true
}

deadline=$(($(date +%s) + 60))
while :; do
  status=$(call -H 'Content-Type: application/json' -H "Idempotency-Key: \"$key\"" -H "$condition" \
    --data @"$work/report.json" "$GATEWAY_URL/v1/reports")
  problem=$(member type)
  case "$status $problem" in
    202*) break ;;
    412* | 409*revision-taken) echo "another revision stands: $(member highest_revision)" >&2; exit 3 ;;
    409* | 429* | 502* | 503* | 504* | 000*) ;; # worth a repeat, with the same key
    *) echo "$status $(member detail)" >&2; exit 1 ;; # 400, 401, 403, 413, 422: a repeat does not help
  esac
  [ "$(date +%s)" -lt "$deadline" ] || { echo "no answer for a minute ($status)" >&2; exit 4; }
  wait=$(sed -n 's/^[Rr]etry-[Aa]fter: *\([0-9]*\).*/\1/p' "$work/headers")
  echo "$status, again in ${wait:-2} s" >&2
  sleep "${wait:-2}"
done
receipt=$(member receipt)
echo "acknowledged: revision $(member revision), $receipt"

while [ "$(date +%s)" -lt $((deadline + 60)) ]; do
  status=$(call "$GATEWAY_URL$receipt")
  outcome=$(member outcome)
  case "$status $outcome" in
    "200 accepted") grep -q '"counted":false' "$work/answer" || { echo "accepted, counted up to the nation"; exit 0; } ;;
    "200 pending" | [1-9]??* | 000*) [ "$outcome" != rejected ] && [ "$outcome" != conflict ] && [ "$outcome" != duplicate ] \
      && [ "$outcome" != superseded ] || { echo "$outcome: $(member said) $(member detail)"; [ "$outcome" = duplicate ]; exit $?; } ;;
  esac
  sleep 1
done
echo "not counted yet" >&2
exit 4
