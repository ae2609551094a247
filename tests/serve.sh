# Sourced by the tests that talk to the program from outside. The caller is in the repository, and sets NAME for messages.
# CX_ENGINE names a program to try; else it is built.
# shellcheck shell=bash

if [ -z "${CX_ENGINE:-}" ]; then
    cargo build --locked --quiet
    CX_ENGINE=target/debug/cx-engine
fi
CX_ENGINE=$(realpath "$CX_ENGINE")
# It is no setting of the program, which rejects unknown ones.
export -n CX_ENGINE

data=
server=
finish() {
    if [ -n "$server" ]; then kill "$server" 2>/dev/null && wait "$server" || true; fi
    if [ -n "$data" ]; then rm -rf "$data"; fi
}
trap finish EXIT
trap 'exit 1' INT TERM

# serve [SETTING=VALUE...]: starts the program with a new data directory and cheap hashes, and sets `url`.
serve() {
    data=$(mktemp -d)
    env CX_LOG=off CX_PASSWORD_MEMORY_KIB=64 CX_PASSWORD_PASSES=1 "$@" \
        "$CX_ENGINE" --config /dev/null --data-dir "$data" serve --listen 127.0.0.1:0 >"$data/listening" &
    server=$!
    for _ in $(seq 100); do
        if grep -q listening "$data/listening"; then break; fi
        sleep 0.1
    done
    # shellcheck disable=SC2034 # for the caller
    url=$(sed -n 's/^listening on //p' "$data/listening")
    if [ -z "$url" ]; then
        echo "$NAME: the server did not start"
        exit 1
    fi
}
