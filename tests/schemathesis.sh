#!/usr/bin/env bash
# Schemathesis against both layers of the running program: what the served OpenAPI promises is asked for, on purpose and
# at random, and every answer held against it. CX_ENGINE names a program to try; else it is built.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly VERSION=4.32.5 EXAMPLES=${EXAMPLES:-20} SEED=${SEED:-1}
out=$PWD/target/schemathesis

if ! command -v schemathesis >/dev/null; then
    if ! command -v python3 >/dev/null; then
        echo "schemathesis: skipped, there is no python3 here"
        if [ "${CI:-}" = true ]; then exit 1; else exit 0; fi
    fi
    venv=$PWD/target/schemathesis-venv
    if [ "$("$venv/bin/schemathesis" --version 2>/dev/null)" != "schemathesis, version $VERSION" ]; then
        python3 -m venv --clear "$venv"
        "$venv/bin/pip" install --quiet --disable-pip-version-check "schemathesis==$VERSION"
    fi
    PATH=$venv/bin:$PATH
fi
readonly NAME=schemathesis
. tests/serve.sh
rm -rf "$out" && mkdir -p "$out" && cd "$out"

# No throttle: there is a login before every request.
serve CX_THROTTLE_ATTEMPTS=0

password='correct horse battery'
# post HOST PATH BODY [TOKEN]: a good answer, or the end.
post() {
    curl --silent --show-error --fail-with-body -H "Host: $1" -H 'Content-Type: application/json' \
        ${4:+-H "Authorization: Bearer $4"} --data "$3" "$url/api$2"
}
token() { sed 's/.*"token":"\([^"]*\)".*/\1/'; }

# Two accounts, so that what is done to the one's workspace leaves the other's alone. The first is the operator.
for name in central acme; do
    post localhost /register "{\"name\":\"$name\",\"email\":\"$name@cx.test\",\"password\":\"$password\",
        \"workspace_name\":\"$name\",\"subdomain\":\"of-$name\"}" >/dev/null
done
token=$(post of-acme.localhost /login "{\"email\":\"acme@cx.test\",\"password\":\"$password\"}" | token)
for n in 1 2 3; do
    post of-acme.localhost /customers "{\"name\":\"Customer $n\",\"customer_account\":\"A-$n\"}" "$token"
    post of-acme.localhost /contacts "{\"last_name\":\"Contact $n\",\"customer_id\":$n}" "$token"
done >/dev/null

# Call routing of each customer: of all of them the first has the id 1, of the second 2.
for n in 1 2 3; do
    route() { post of-acme.localhost "/smart-routings$1${3:-?}customer_account=A-$n" "$2" "$token"; }
    route /fields '{"name":"Field"}'
    route "/fields/$n/options" '{"name":"Option"}'
    route /contacts '{"id_code":"C"}'
    route /ctis '{"name":"CTI"}'
    route "/ctis/$n/destinations" '{"origin":"01*"}'
    route /call-queues/groups '{"name":"Group"}'
    route /call-queues/queues '{"name":"Queue","code":"Q"}'
    route /call-queues/time-spans '{"day_of_week":1,"start_time":"09:00","end_time":"18:00"}' \
        "?time_spanable_type=call_queue&time_spanable_id=$n&"
    route /call-queues/exceptions '{"day":"--05-01"}' "?exceptionable_type=call_queue&exceptionable_id=$n&"
    route /geo/lists '{"list_id":"L","geo_routing_model_id":1}'
    route "/geo/lists/$n/destinations" '{"zones":["75"]}'
    route /cfd-tokens '{"name":"Token"}'
    route /surveys '{"name":"Survey"}'
    route /survey-records "{\"survey_id\":$n}"
done >/dev/null

cat >schemathesis.toml <<TOML
cache.enabled = false
hooks = "hooks.py"

# The token comes from hooks.py; a made-up one beside it would only be refused, and ignored_auth tries that by itself.
[generation]
with-security-parameters = false

# Good values, so that these do not only refuse. (Not for PUT /account: it would change the password.) The examples and
# the coverage phase send the other kind.
[dictionaries]
email.values = ["central@cx.test", "acme@cx.test"]
password.values = ["$password"]
id.values = [$(seq -s, 1 99)]
seeded.values = [1, 2, 3]
first.values = [1]
nowhere.values = ["https://cx.invalid/hook"]
callback.values = ["https://cx.invalid/callback"]
start.values = [""]
account.values = ["", "A-1", "A-2"]
routed.values = ["A-1", "A-2"]
few.values = [1, 2]
queue.values = ["call_queue", "call_queue_group"]
zone.values = ["75", "13", "2A"]
at.values = ["", "2027-05-01T10:00:00", "2027-05-01T10:00:00Z"]
list.values = ["L"]

# A stream has no end; tests/it/events.rs tries it.
[[operations]]
include-name = "GET /events"
enabled = false

# Most of what fits the pattern of a cursor is none.
[[operations]]
include-method = "GET"
parameters = {"query.cursor" = {dictionary = "start", probability = 0.8}}

[[operations]]
include-name = "POST /login"
parameters = {"body.email" = {dictionary = "email", probability = 0.7}}

[[operations]]
include-name = "DELETE /account"
parameters = {"body.current_password" = {dictionary = "password", probability = 0.5}}

[[operations]]
include-path-regex = "^/(user-invites|users/.id.)$"
parameters = {"body.role_id" = {dictionary = "seeded", probability = 0.8}}

[[operations]]
include-path-regex = "^/phone-calls"
parameters = {"body.contact_id" = {dictionary = "seeded", probability = 0.8}, "body.customer_id" = {dictionary = "seeded", probability = 0.8}, "body.user_id" = {dictionary = "first", probability = 0.8}}

[[operations]]
include-path-regex = "^/oauth-clients"
parameters = {"body.redirect_uris[*]" = {dictionary = "nowhere", probability = 1.0}, "body.customer_id" = {dictionary = "seeded", probability = 0.8}}

[[operations]]
include-path-regex = "^/crm/lookup/"
parameters = {"query.customer_account" = {dictionary = "account", probability = 0.9}, "body.contact_id" = {dictionary = "seeded", probability = 0.8}}

[[operations]]
include-path-regex = "^/webhooks"
parameters = {"body.url" = {dictionary = "nowhere", probability = 1.0}}

[[operations]]
include-path-regex = "^/oauth-clients"
parameters = {"body.redirect_uris[*]" = {dictionary = "callback", probability = 0.9}}

[[operations]]
include-path-regex = "^/smart-routings/"
parameters = {"query.customer_account" = {dictionary = "routed", probability = 0.95}, "path.id" = {dictionary = "few", probability = 0.7}, "query.time_spanable_id" = {dictionary = "few", probability = 0.9}, "query.exceptionable_id" = {dictionary = "few", probability = 0.9}, "body.exceptionable_id" = {dictionary = "few", probability = 0.9}, "body.survey_id" = {dictionary = "few", probability = 0.9}, "body.geo_routing_model_id" = {dictionary = "few", probability = 0.9}, "body.zones[*]" = {dictionary = "zone", probability = 0.8}, "query.at" = {dictionary = "at", probability = 0.8}, "query.list_id" = {dictionary = "list", probability = 0.7}}

[[operations]]
include-path-regex = "/bulk$"
parameters = {"body.ids[*]" = {dictionary = "id", probability = 0.8}}
TOML

cat >hooks.py <<'PYTHON'
import os, re, requests, schemathesis
from schemathesis.specs.openapi.checks import positive_data_acceptance

URL, HOST = os.environ["CX_URL"], os.environ["CX_HOST"]
LOGIN = {"email": os.environ["CX_EMAIL"], "password": os.environ["CX_PASSWORD"]}
session = requests.Session()

# A token of its own for every request: some operations revoke the one they come with, or any other.
@schemathesis.auth(refresh_interval=None)
class Token:
    def get(self, case, context):
        answer = session.post(f"{URL}/api/login", json=LOGIN, headers={"Host": HOST})
        assert answer.status_code == 200, f"cannot log in any more: {answer.text}"
        return answer.json()["token"]

    def set(self, case, token, context):
        case.headers = {**(case.headers or {}), "Authorization": f"Bearer {token}"}

# Who is named in a well-formed login gets in.
@schemathesis.hook
def before_call(context, case, kwargs):
    if case.operation.label == "POST /login" and case.meta and case.meta.generation.mode.is_positive:
        if case.body["email"] == LOGIN["email"]:
            case.body = {**case.body, **LOGIN}
    # Whoever requires a second factor has none here, and would be shut out.
    if case.operation.label == "PUT /settings" and isinstance(case.body, dict):
        if case.body.get("require_second_factor") in (True, 1, "1", "true"):
            case.body = {**case.body, "require_second_factor": False}

# Rules that a schema cannot say: they look at two fields at once, at the caller's own data, or at a list of words.
BEYOND_SCHEMA = {
    "The password is too common: choose one that is harder to guess.",
    "The password confirmation does not match.",
    "The current password field is required.",
    "The subdomain must be that of the workspace, as a confirmation.",
    "The redirect uris field is required.",
    "The redirect uris must be an absolute https URL (or http on the loopback address) without a fragment or a wildcard.",
    "The confidential does not change: register another client.",
    "The customer id does not change: register another client.",
    "The grants may not have client_credentials if the client is public.",
    "The first line must contain column names.",
    "The id has already been taken.",
    "The customer account has already been taken.",
    "The email matches several contacts: use an id.",
    "The issuer must be an https URL.",
    "The issuer must be an https URL without query.",
    "The selected customer id is invalid.",
    "The selected invite is invalid.",
    "The selected role id is invalid.",
    "The selected user id is invalid.",
    "The selected code is invalid.",
    "The selected into is invalid.",
    "The selected with is invalid.",
    "The with field is required when into is not present.",
    "The with field is prohibited when into is present.",
    "The fields field is prohibited when into is present.",
    "The selected fields is invalid.",
    "The selected a is invalid.",
    "The selected b is invalid.",
    "The a and b must be different.",
    "The selected of is invalid.",
    "The days field is required.",
    "The from day field is required when time spans is not present.",
    "The from day field is prohibited when time spans is present.",
    "The from day may not be one of the days.",
    "The time spans must be a list.",
    "The country field is required.",
    "The country field is required when days is present.",
    "The year field is required.",
    "The selected days is invalid.",
    "The day field is prohibited when country is present.",
    "The selected contact id is invalid.",
    "The phone field is required when email is not present.",
    "The direction field is required when call type is not present.",
    "The call type and the direction contradict each other.",
    "The cursor does not belong to this list.",
    "The ended at may not be before the started at.",
    "The duration s may not be greater than 2147483647.",
    "The recording url must be an absolute http or https URL.",
    "The contact url template must be an absolute http or https URL.",
    "The default country must be an ISO 3166 code of two letters, like FR.",
    "The url may not hold a user or a password.",
    "The redirect uris field is required.",
    "The redirect uris 0 must be an absolute https URL (or http on the loopback address) without a fragment or a wildcard.",
    "The grants may not have client_credentials if the client is public.",
    "The url may not lead to a private address.",
    "The url must be an absolute http or https URL.",
    "The secret must be whsec_ and 24 to 64 bytes in base64.",
    "The timezone must be a time zone of the IANA database, like Europe/Paris.",
    "The customer account field is required.",
    "The customer id field is prohibited.",
    "The selected default option id is invalid.",
    "The selected field select is invalid.",
    "The telecom field is required when email and id code are not present.",
    "The cti id field is required when token is not present.",
    "The origin may have a * at its end only.",
    "The origin has already been taken.",
    "The hosts must be an address, a network or a name, like 192.0.2.1, 10.0.0.0/8 or pbx.example.com.",
    "The hosts may not be more than 50.",
    "The user id field is required.",
    "The selected account id is invalid.",
    "Send the user id or the account id, not both.",
    "The name matches several ctis: use an id.",
    "The id code has already been taken.",
    "The selected survey id is invalid.",
    "The from must be a valid date and time, like 2024-01-20T12:00:00Z.",
    "The to must be a valid date and time, like 2024-01-20T12:00:00Z.",
    "The selected geo routing model id is invalid.",
    "The selected zones is invalid.",
    "The selected call queue group id is invalid.",
    "The selected time spanable id is invalid.",
    "The time spanable id field is required.",
    "The time spanable type field is required.",
    "The selected exceptionable id is invalid.",
    "The end time must differ from the start time.",
    "The day must be a valid date, like 2027-05-01 or --05-01.",
    "The selected region is invalid.",
    "The selected region is invalid; no region of this country has holidays of its own.",
    "The country field is required when region is present.",
    "The value field is required.",
    "The phone may not be greater than 40 characters.",
    "The phone business may not be greater than 40 characters.",
    "The phone mobile may not be greater than 40 characters.",
    "The number may not be greater than 40 characters.",
    "The did may not be greater than 40 characters.",
    "The email must be a valid email address.",
    "The email address must be a valid email address.",
    "The emails must be a valid email address.",
    "The day of week field is required when date full is not present.",
    "The date full field is prohibited when day of week is present.",
    "The day field is required when country is not present.",
    "The day field is prohibited when country is present.",
    "The year field is required when country is present.",
    "The country field is required when year is present.",
    "The number field is required when did number, code and id are not present.",
    "The at must be a valid date and time, like 2024-01-20T12:00:00Z.",
    "The term filters may not have more than 20 words and 100 characters in all.",
    "There may not be more than 50 filters.",
    "The query may not be longer than 4096 bytes.",
    "The password is too easy to guess: it is your name or address, or the name of this site.",
}

# Of a row of a file all sentences are in one hint: "row 3: One. Another." Which columns there are is left out, and the
# place in a list.
def said(hint):
    places = r"(?<=^The selected fields) .+(?= is invalid)|(?<=^The redirect uris) \d+|(?<=^The emails) \d+|(?<=The hosts) \d+|(?<=The selected zones) \d+|(?<=field select) \d"
    texts = (re.sub(rf"^(row|item) \d+: |; they may be [a-z0-9_, ]*|; it may be [A-Z0-9, -]*(?=[.])|{places}", "", text) for text in hint)
    return {sentence for text in texts for sentence in text.replace(". ", ".\n").split("\n")}

# positive_data_acceptance, which does not know such rules, nor that 412 and 422 are about the state and not the request.
@schemathesis.check
def valid_data_is_accepted(ctx, response, case):
    if response.status_code in (412, 422):
        return
    # A form repeats a field for each item of a list, which OAuth does not allow (RFC 6749, 3.2).
    if response.status_code == 400 and response.json().get("error") == "invalid_request":
        return
    # The schema of a file to import says only that it is text.
    if response.status_code in (400, 415) and case.operation.label in ("POST /imports", "PUT /imports/{id}"):
        return
    if response.status_code == 400 and said(response.json().get("hint", [""])) <= BEYOND_SCHEMA:
        return
    positive_data_acceptance(ctx, response, case)
PYTHON

# Left out: object_level_authorization wants a second user and a schema that says what is whose (tests/it/isolation.rs
# has that); missing_required_header wants headers that the API requires, and there are none;
# negative_data_rejection takes it ill that related types are accepted, such as "3" for an integer;
# ensure_resource_availability takes it ill that ?cascade=1 deletes a customer's contacts (use_after_free is in).
checks=not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance
checks+=,response_headers_conformance,valid_data_is_accepted,unsupported_method
checks+=,allow_header_conformance,ignored_auth,use_after_free

failed=0
# layer NAME HOST EMAIL
layer() {
    if CX_URL=$url CX_HOST=$2 CX_EMAIL=$3 CX_PASSWORD=$password \
        schemathesis run "$url/api/openapi.json" --no-color --header "Host: $2" --checks "$checks" \
        --phases examples,coverage,fuzzing,stateful --max-examples "$EXAMPLES" --seed "$SEED" \
        --generation-database none --continue-on-failure --output-truncate false \
        --report ndjson --report-ndjson-path "$1.ndjson" >"$1.log" 2>&1
    then
        verdict="fits its description"
    else
        failed=1 verdict="does not fit its description: see target/schemathesis/$1.log"
    fi
    echo "schemathesis: the $1 API $verdict ($(sed -n 's/^  *\([0-9]* generated.*\)/\1/p' "$1.log"))"
}
layer central localhost central@cx.test
layer workspace of-acme.localhost acme@cx.test
exit $failed
