#!/usr/bin/env bash
# A real SIP server, Kamailio as packaging/pbx/kamailio.cfg configures it, against the running program. SIPp places calls in
# opening hours, outside, on a holiday, and to a busy phone, from known, unknown, foreign and withheld numbers. Checked are
# where each call went, the name that the phone showed, the journal, and the calls that popped up. CX_ENGINE names a program
# to try; else it is built.
set -euo pipefail
cd "$(dirname "$0")/.."

for program in kamailio sipp curl python3; do
    if ! PATH=$PATH:/usr/sbin command -v $program >/dev/null; then
        echo "kamailio: NOT RUN, there is no $program here (apt-get install kamailio kamailio-utils-modules kamailio-extra-modules sip-tester)"
        if [ "${CI:-}" = true ]; then exit 1; else exit 0; fi
    fi
done
readonly NAME=kamailio
. tests/serve.sh

serve
port=${url##*:}
work=$(mktemp -d)
children=()
stop() {
    for child in "${children[@]}"; do kill "$child" 2>/dev/null && wait "$child" 2>/dev/null || true; done
    finish
    if [ -n "${KEEP:-}" ]; then echo "kept $work"; else rm -rf "$work"; fi
}
trap stop EXIT

call() { # call METHOD HOST TOKEN PATH [BODY]
    curl -sS --fail-with-body -X "$1" -H "Host: $2" -H "Authorization: Bearer $3" -H 'Content-Type: application/json' \
        "http://127.0.0.1:$port/api$4" ${5:+-d "$5"}
}
field() { python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }

owner=$(call POST localhost - /register '{"name":"Ada","email":"ada@example.com","password":"a long enough one"}' | field token)
id=$(call POST localhost "$owner" /workspaces '{"name":"Acme","subdomain":"acme"}' | field id)
ada=$(call POST localhost "$owner" /switch-to "{\"workspace_id\":\"$id\"}" | field token)
acme() { call "$1" acme.localhost "$ada" "$2" "${3:-}"; }

acme PUT /settings '{"default_country":"FR","timezone":"Europe/Paris"}' >/dev/null
account=$(acme POST /customers '{"name":"Boulangerie Leroy"}' | field customer_account)
acme POST /contacts '{"first_name":"Zoé","last_name":"Lefèvre","phone_mobile_1":"06 12 34 56 78"}' >/dev/null
acme POST /contacts '{"first_name":"Jürgen","last_name":"Müller","phone_business_1":"+49 30 123456"}' >/dev/null
crm=$(acme POST /integration-keys '{"name":"Kamailio","permissions":["crm.lookup"]}' | field key)
flow=$(acme POST "/smart-routings/cfd-tokens?customer_account=$account" '{"name":"Kamailio"}' | field token)

queues=/smart-routings/call-queues
of_account="customer_account=$account"
queue() { # queue NAME NUMBER DESTINATION
    acme POST "$queues/queues?$of_account" \
        "{\"name\":\"$1\",\"number\":\"$2\",\"default_destination\":\"$3\",\"type\":\"inbound\"}" | field id
}
open=$(queue Support 0142000001 899)
queue Closed 0142000002 898 >/dev/null
holiday=$(queue Holiday 0142000003 897)
queue Busy 0142000004 486 >/dev/null
for day in 0 1 2 3 4 5 6; do
    for of in "$open" "$holiday"; do
        acme POST "$queues/time-spans?$of_account&time_spanable_id=$of&time_spanable_type=call_queue" \
            "{\"day_of_week\":$day,\"start_time\":\"00:00\",\"end_time\":\"24:00\",\"destination\":\"801\"}" >/dev/null
    done
done
today=$(TZ=Europe/Paris date +%F)
acme POST "$queues/exceptions?$of_account" \
    "{\"exceptionable_id\":$holiday,\"exceptionable_type\":\"call_queue\",\"day\":\"$today\",\"destination\":\"890\"}" >/dev/null

curl -sN -H 'Host: acme.localhost' -H "Authorization: Bearer $ada" "http://127.0.0.1:$port/api/events" >"$work/events" &
children+=($!)

read -r sip phones <<<"$(python3 -c '
import socket
sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
for each in sockets: each.bind(("127.0.0.1", 0))
print(*(each.getsockname()[1] for each in sockets))')"
# The placeholders are replaced in their own lines, where Kamailio takes them from.
sed -e "s|!CX_URL!.*!g|!CX_URL!http://acme.localhost:$port/api!g|" -e "s|!cxf_TOKEN!|!$flow!|; s|!ROUTING_TOKEN!cxf_TOKEN!|!ROUTING_TOKEN!$flow!|" \
    -e "s|!CRM_KEY!cxk_KEY!|!CRM_KEY!$crm!|" -e "s|127.0.0.1:5080|127.0.0.1:$phones|" -e "s|udp:127.0.0.1:5060|udp:127.0.0.1:$sip|" \
    packaging/pbx/kamailio.cfg >"$work/kamailio.cfg"

start() { # start NAME PORT COMMAND...: a program in the background, once its UDP port is bound
    local name=$1 port=$2
    shift 2
    "$@" >"$work/$name.out" 2>&1 &
    children+=($!)
    for _ in $(seq 300); do
        if grep -q ":$(printf %04X "$port") " /proc/net/udp; then return; fi
        if ! kill -0 $! 2>/dev/null; then break; fi
        sleep 0.1
    done
    echo "kamailio: $name does not listen" >&2
    head -n 20 "$work/$name.out" >&2
    exit 1
}
start kamailio "$sip" env PATH="$PATH:/usr/sbin" kamailio -f "$work/kamailio.cfg" -DD -E -w "$work" -Y "$work" -P "$work/pid"
start phones "$phones" sipp -sf "$PWD/tests/sip/phones.xml" -i 127.0.0.1 -p "$phones" -trace_logs -log_file "$work/phones.log" -nostdin

place() { # place SCENARIO FROM TO: one call
    printf 'SEQUENTIAL\n%s;%s\n' "$2" "$3" >"$work/call.csv"
    if ! sipp "127.0.0.1:$sip" -sf "$PWD/tests/sip/$1.xml" -inf "$work/call.csv" -i 127.0.0.1 -m 1 -nostdin -timeout 30s \
        >"$work/caller.out" 2>&1; then
        echo "kamailio: the call from $2 to $3 failed" >&2
        tail -n 20 "$work/caller.out" "$work/kamailio.out" >&2
        exit 1
    fi
}

place caller 0612345678 0142000001
place caller 004930123456 0142000001
place caller anonymous 0142000001
place caller 0699999999 0142000002
place caller 0612345678 0142000003
place caller 0612345678 0142000999
place missed 0612345678 0142000004

python3 - "$work" <(acme GET '/phone-calls?sort=id&per_page=50') <<'PYTHON'
import json, sys, time

work, listed = sys.argv[1:]
calls = json.load(open(listed))["data"]
ended = [(call["number_from"], call["number_to"], call["queue"], call["status"], call["contact_id"]) for call in calls]
expected = [
    ("0612345678", "0142000001", "Support", "completed", 1),
    ("004930123456", "0142000001", "Support", "completed", 2),
    ("anonymous", "0142000001", "Support", "completed", None),
    ("0699999999", "0142000002", "Closed", "completed", None),
    ("0612345678", "0142000003", "Holiday", "completed", 1),
    ("0612345678", "0142000999", None, "completed", 1),
    ("0612345678", "0142000004", "Busy", "missed", 1),
]
assert ended == expected, "the journal:\n" + "\n".join(map(str, ended))
assert all(call["duration_s"] is not None for call in calls), calls

# Where each call went, and the name that the phone showed.
zoe, jurgen = "Zoé Lefèvre", "Jürgen Müller"
phones = [tuple(line.split("|")) for line in open(f"{work}/phones.log").read().splitlines()]
expected = [
    ("0612345678", "801", zoe),
    ("004930123456", "801", jurgen),
    ("anonymous", "801", ""),
    ("0699999999", "898", ""),
    ("0612345678", "890", zoe),
    ("0612345678", "800", zoe),
    ("0612345678", "486", zoe),
]
assert phones == expected, "the phones:\n" + "\n".join(map(str, phones))

# The calls that popped up in the console: not the withheld one, each with its contact and queue.
deadline = time.monotonic() + 10
while True:
    events = [part.split("\n") for part in open(f"{work}/events").read().split("\n\n")]
    recorded = [lines for lines in events if "phone-call.created" in lines[-1]]
    if len(recorded) == len(calls) or time.monotonic() > deadline:
        break
    time.sleep(0.1)
rings = [json.loads(lines[-1].removeprefix("data: ")) for lines in events if lines[0] == "event: ring"]
popped = [(ring["number"], ring["contact_id"], ring["queue"], ring["did"]) for ring in rings]
expected = [
    ("0612345678", 1, "Support", "0142000001"),
    ("004930123456", 2, "Support", "0142000001"),
    ("0699999999", None, "Closed", "0142000002"),
    ("0612345678", 1, "Holiday", "0142000003"),
    ("0612345678", 1, None, "0142000999"),
    ("0612345678", 1, "Busy", "0142000004"),
]
assert popped == expected, "the calls that popped up:\n" + "\n".join(map(str, popped))
assert len(recorded) == len(calls), recorded
print(f"kamailio: {len(calls)} calls were routed, named, announced and recorded")
PYTHON
