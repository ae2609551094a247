#!/usr/bin/env bash
# `cx-engine cluster`, a server that is killed and loses its disk, and off-site backups, on an S3 server that others have
# written: moto honours conditions, and botocore verifies the signatures. CX_ENGINE names a program to try; else it is built.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly PACKAGES="moto[server]==5.2.5"

if ! python3 -c 'import venv' 2>/dev/null; then
    echo "object_store: NOT RUN, there is no python3 with venv here (apt-get install python3-venv)"
    if [ "${CI:-}" = true ]; then exit 1; else exit 0; fi
fi
venv=$PWD/target/object-store-venv
if [ "$(cat "$venv/packages" 2>/dev/null)" != "$PACKAGES" ]; then
    python3 -m venv --clear "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check "$PACKAGES"
    echo "$PACKAGES" >"$venv/packages"
fi
if [ -z "${CX_ENGINE:-}" ]; then
    cargo build --locked --quiet
    CX_ENGINE=target/debug/cx-engine
fi
CX_ENGINE=$(realpath "$CX_ENGINE")
# It is no setting of the program, which rejects unknown ones.
export -n CX_ENGINE

work=$(mktemp -d)
moto=
server=
stop() {
    for process in $server $moto; do kill "$process" 2>/dev/null && wait "$process" 2>/dev/null || true; done
    rm -rf "$work"
}
trap stop EXIT
trap 'exit 1' INT TERM

printf 'cx-key\n' >"$work/key"
printf 'cx-secret/+\n' >"$work/secret"
printf 'wrong' >"$work/wrong"

# moto itself does not verify the signature of a URL. The library of AWS for Python does that here.
"$venv/bin/python" - "$work" >"$work/moto.log" 2>&1 <<'PYTHON' &
import os
import sys
from urllib.parse import parse_qsl, urlsplit

from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server
from werkzeug.test import Client
from werkzeug.wrappers import Response

work = sys.argv[1]
KEY, SECRET = (open(f"{work}/{name}").read().strip() for name in ("key", "secret"))
moto = DomainDispatcherApplication(create_backend_app)


def fault(environ):
    """The code of the error, if the signature is not the one that the library computes."""
    target = urlsplit(environ["RAW_URI"])
    query = dict(parse_qsl(target.query))
    key, date, region, service, _ = query.get("X-Amz-Credential", "////").split("/")
    if key != KEY:
        return "InvalidAccessKeyId"
    rest = "&".join(pair for pair in target.query.split("&") if not pair.startswith("X-Amz-Signature="))
    signed = query["X-Amz-SignedHeaders"].split(";")
    conditions = [name for name in ("if-match", "if-none-match") if f"HTTP_{name.upper().replace('-', '_')}" in environ]
    assert signed == sorted(["host", *conditions]), signed
    headers = {name: environ[f"HTTP_{name.upper().replace('-', '_')}"] for name in conditions}
    url = f"http://{environ['HTTP_HOST']}{target.path}?{rest}"
    request = AWSRequest(method=environ["REQUEST_METHOD"], url=url, headers=headers)
    request.context["timestamp"] = query["X-Amz-Date"]
    auth = S3SigV4QueryAuth(Credentials(KEY, SECRET), service, region, expires=int(query["X-Amz-Expires"]))
    expected = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
    return None if expected == query["X-Amz-Signature"] else "SignatureDoesNotMatch"


def front(environ, start_response):
    code = fault(environ)
    if code is None:
        return moto(environ, start_response)
    said = Response(f"<Error><Code>{code}</Code><Message>no</Message></Error>", status=403)
    return said(environ, start_response)


assert Client(moto).put("/cx-data", headers={"Host": "s3.amazonaws.com"}).status_code == 200
server = make_server("127.0.0.1", 0, front, threaded=True)
with open(f"{work}/port.new", "w") as file:
    file.write(str(server.server_port))
os.rename(f"{work}/port.new", f"{work}/port")
server.serve_forever()
PYTHON
moto=$!
for _ in $(seq 300); do
    if [ -s "$work/port" ] || ! kill -0 "$moto" 2>/dev/null; then break; fi
    sleep 0.1
done
if [ ! -s "$work/port" ]; then
    echo "object_store: moto did not start" >&2
    cat "$work/moto.log" >&2
    exit 1
fi
port=$(cat "$work/port")

# check BUCKET KEY_FILE SECRET_FILE: prints what the command prints, and returns its exit code.
check() {
    (cd "$work" && CX_STORE_URL="http://127.0.0.1:$port/$1" CX_STORE_KEY_FILE="$2" CX_STORE_SECRET_FILE="$3" \
        "$CX_ENGINE" --config /dev/null cluster check 2>&1)
}
# refused PART BUCKET KEY_FILE SECRET_FILE: the command fails and gives this reason.
refused() {
    local part=$1 said
    shift
    if said=$(check "$@") || ! grep -q "$part" <<<"$said"; then
        printf 'object_store: it should fail with "%s":\n%s\n' "$part" "$said" >&2
        exit 1
    fi
}

for bucket in cx-data cx-data/production; do
    if ! said=$(check $bucket key secret); then
        printf 'object_store: the check of %s failed:\n%s\n' "$bucket" "$said" >&2
        tail -20 "$work/moto.log" >&2
        exit 1
    fi
    [ "$(grep -c ' ms  ok ' <<<"$said")" -eq 9 ]
done
refused 'does not know the access key in store_key_file' cx-data wrong secret
refused 'store_secret_file does not belong' cx-data key wrong
refused 'there is no bucket "elsewhere"' elsewhere key secret
echo "object_store: a store of others passes the check; wrong keys and a missing bucket are refused by name"

# cx ARGUMENT...: runs the program with the store.
store=(CX_STORE_URL="http://127.0.0.1:$port/cx-data/kept" CX_STORE_KEY_FILE=key CX_STORE_SECRET_FILE=secret CX_LEASE=1)
cx() { (cd "$work" && env "${store[@]}" "$CX_ENGINE" --config /dev/null "$@"); }
fail() {
    printf 'object_store: %s\n' "$1" >&2
    tail -20 "$work/serve.log" "$work/moto.log" >&2
    exit 1
}
# start DATA: starts a server on a data directory, and sets `server` and `at`, its port.
start() {
    : >"$work/serve.out"
    (cd "$work" && exec env "${store[@]}" "$CX_ENGINE" --config /dev/null serve --listen 127.0.0.1:0 --data-dir "$1") \
        >"$work/serve.out" 2>>"$work/serve.log" &
    server=$!
    for _ in $(seq 300); do
        if grep -q '^listening on ' "$work/serve.out" || ! kill -0 "$server" 2>/dev/null; then break; fi
        sleep 0.1
    done
    at=$(sed -n 's/^listening on .*:\([0-9]*\)$/\1/p' "$work/serve.out")
    [ -n "$at" ] || fail 'the server did not start'
}
api() { curl -gsSf --max-time 30 -H 'Content-Type: application/json' "$@"; }
field() { sed "s/.*\"$1\":\"\([^\"]*\)\".*/\1/"; }
# customers TOKEN_OF_THE_ACCOUNT: the names of the customers of the workspace, sorted.
customers() {
    local token
    token=$(api "http://localhost:$at/api/switch-to" -H "Authorization: Bearer $1" -d "{\"workspace_id\":\"$id\"}" | field token)
    api "http://acme.localhost:$at/api/customers?sort=name&per_page=500" -H "Authorization: Bearer $token" |
        grep -o '"name":"Customer [0-9]*"' | sort
}

start data
ada='{"name":"Ada","email":"ada@example.com","password":"a-long-password"}'
token=$(api "http://localhost:$at/api/register" -d "$ada" | field token)
id=$(api "http://localhost:$at/api/workspaces" -H "Authorization: Bearer $token" -d '{"name":"Acme","subdomain":"acme"}' |
    sed 's/{"id":"\([^"]*\)".*/\1/')
inside=$(api "http://localhost:$at/api/switch-to" -H "Authorization: Bearer $token" -d "{\"workspace_id\":\"$id\"}" | field token)
for n in 1 2 3 4 5; do
    api "http://acme.localhost:$at/api/customers" -H "Authorization: Bearer $inside" -d "{\"name\":\"Customer $n\"}" >/dev/null
done
expected=$(customers "$token")
[ "$(wc -l <<<"$expected")" -eq 5 ] || fail "five customers are expected: $expected"
kill -KILL "$server" && wait "$server" 2>/dev/null || true
said=$(cx cluster status) || fail 'the status of the store cannot be read'
grep -q "^$id  acme " <<<"$said" || fail "the store has no workspace: $said"

# The disk is lost.
rm -rf "$work/data"
start data
token=$(api "http://localhost:$at/api/login" -d '{"email":"ada@example.com","password":"a-long-password"}' | field token)
[ "$(customers "$token")" = "$expected" ] || fail 'customers are missing after the restore'
kill "$server" && wait "$server" 2>/dev/null || true
server=
cx cluster restore --into copy >"$work/said" || fail 'the restore failed'
grep -q 'restored 2 files and the keys into copy' "$work/said" || fail "$(cat "$work/said")"
cx doctor --data-dir copy >"$work/said" || fail "$(cat "$work/said")"
echo "object_store: after kill -9 and the loss of the disk, every customer is there again"

# The drill of off-site backups: the machine is lost with its store; the bucket and the secret key are left.
store=(CX_BACKUP_KEY_FILE=key CX_BACKUP_SECRET_FILE=secret CX_BACKUP_PART_MIB=1)
place="http://127.0.0.1:$port/cx-data/offsite"
cx backup-key >"$work/backup-key.txt" 2>"$work/said"
public=$(sed -n 's/^Public key: //p' "$work/said")
# More than one object: texts that cannot be compressed.
start copy
token=$(api "http://localhost:$at/api/login" -d '{"email":"ada@example.com","password":"a-long-password"}' | field token)
inside=$(api "http://localhost:$at/api/switch-to" -H "Authorization: Bearer $token" -d "{\"workspace_id\":\"$id\"}" | field token)
for n in $(seq 200); do
    text=$(head -c 7400 /dev/urandom | base64 -w 0)
    api "http://acme.localhost:$at/api/customers" -H "Authorization: Bearer $inside" \
        -d "{\"name\":\"Customer $((n + 5))\",\"comment\":\"$text\"}" >/dev/null
done
expected=$(customers "$token")
[ "$(wc -l <<<"$expected")" -eq 205 ] || fail "205 customers are expected: $expected"
cx backup --data-dir copy --to "$place" --recipient "$public" >"$work/said" || fail "$(cat "$work/said")"
grep -q '[2-9] objects, encrypted, read again and compared' "$work/said" || fail "$(cat "$work/said")"
kill "$server" && wait "$server" 2>/dev/null || true
server=
rm -rf "$work/copy" "$work/data"
cx backups --from "$place" --verify >"$work/said" || fail "$(cat "$work/said")"
grep -q 'no problems found' "$work/said" || fail "$(cat "$work/said")"
cx backups --from "$place" --verify --identity backup-key.txt >"$work/said" || fail "$(cat "$work/said")"
cx restore --from "$place" --identity backup-key.txt --into fetched >"$work/said" || fail "$(cat "$work/said")"
cx doctor --data-dir fetched >"$work/said" || fail "$(cat "$work/said")"
start fetched
token=$(api "http://localhost:$at/api/login" -d '{"email":"ada@example.com","password":"a-long-password"}' | field token)
[ "$(customers "$token")" = "$expected" ] || fail 'customers are missing after the restore from elsewhere'
kill "$server" && wait "$server" 2>/dev/null || true
server=
if said=$(cx backup --data-dir fetched --to "http://127.0.0.1:$port/elsewhere/x" --recipient "$public" 2>&1) ||
    ! grep -q 'there is no bucket "elsewhere": create it, or correct backup_to' <<<"$said"; then
    fail "it should fail without a bucket: $said"
fi
echo "object_store: after the loss of the machine, an off-site backup brings every customer back"
