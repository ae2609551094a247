#!/usr/bin/env bash
# The OpenAPI descriptions of both layers, as other programs read them: two linters, and the generators of six clients.
# Each generated client compiles, and runs a first day against the server. CX_ENGINE names a program to try; else it is
# built. --short runs the linters and two generators.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly LAYERS="central workspace"
case "${1:-}" in
    "") short= ;;
    --short) short=1 ;;
    *) echo "usage: $0 [--short]" >&2; exit 2 ;;
esac

programs="node npm python3"
if [ -z "$short" ]; then programs+=" java"; fi
for program in $programs; do
    if ! command -v "$program" >/dev/null; then
        echo "generators: skipped, there is no $program here"
        if [ "${CI:-}" = true ]; then exit 1; else exit 0; fi
    fi
done
readonly NAME=generators
. tests/serve.sh

# Everything happens in a copy. What is installed stays there until a version changes.
work=$PWD/target/generators
mkdir -p "$work"
find "$work" -mindepth 1 -maxdepth 1 ! -name node_modules ! -name venv ! -name 'installed-*' -exec rm -rf {} +
cp -R tests/generators/. "$work"
cd "$work"
if ! cmp -s package.json installed-package.json; then
    npm install --silent --no-audit --no-fund --no-package-lock
    cp package.json installed-package.json
fi
if ! cmp -s requirements.txt installed-requirements.txt; then
    python3 -m venv --clear venv
    venv/bin/pip install --quiet --disable-pip-version-check --requirement requirements.txt
    cp requirements.txt installed-requirements.txt
fi
PATH=$work/venv/bin:$work/node_modules/.bin:$PATH
export REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true

# step NAME COMMAND...: runs it. Shows its output only when it fails.
step() {
    local name=$1 start=$SECONDS
    shift
    if ! "$@" >"$name.log" 2>&1; then
        head -n 100 "$name.log"
        echo "generators: $name failed"
        exit 1
    fi
    echo "generators: $name ok ($((SECONDS - start)) s)"
}

for layer in $LAYERS; do
    CX_PUBLIC_URL=https://cx.acme.test "$CX_ENGINE" openapi "$layer" >"$layer.json"
done

step redocly redocly lint --config lint/redocly.yaml central.json workspace.json
step spectral spectral lint --ruleset lint/spectral.yaml --fail-severity=hint central.json workspace.json

# operations LAYER COUNT: fails unless the client has as many operations as the description.
operations() {
    local described
    described=$(grep -o '"operationId"' "$1.json" | wc -l)
    if [ "$2" -ne "$described" ]; then
        echo "The $1 API has $described operations, the client $2."
        return 1
    fi
}

# each COMMAND...: runs it for each layer, with the layer as its last argument.
each() {
    local layer
    for layer in $LAYERS; do "$@" "$layer" || return; done
}

openapi_typescript() {
    openapi-typescript "$1.json" --output "openapi_fetch/$1.ts" &&
        operations "$1" "$(sed -n '/^export interface operations {/,/^}/p' "openapi_fetch/$1.ts" | grep -c '^    [A-Za-z]*: {')"
}
openapi_python_client() {
    openapi-python-client generate --path "$1.json" --config openapi-python-client.yaml --meta none \
        --output-path "cx_$1" --fail-on-warning &&
        operations "$1" "$(find "cx_$1/api" -mindepth 2 -name '*.py' ! -name __init__.py | wc -l)"
}
hey_api() {
    openapi-ts --input "$1.json" --output "hey_api/$1" --client @hey-api/client-fetch &&
        operations "$1" "$(grep -c '^export const' "hey_api/$1/sdk.gen.ts")"
}
orval_operations() {
    operations "$1" "$(grep -c '^export const .* = async' "orval/$1.ts")"
}
typescript_fetch() {
    openapi_generator typescript-fetch "$1" --output "typescript_fetch/$1" &&
        operations "$1" "$(cat "typescript_fetch/$1"/apis/*.ts | grep -c '^    async [A-Za-z]*Raw(')"
}
# In Python, a field `datetime` would hide the type of that name.
openapi_generator_python() {
    openapi_generator python "$1" --output . --additional-properties "packageName=og_$1" \
        --name-mappings datetime=datetime_ &&
        operations "$1" "$(cat "og_$1"/api/*_api.py | grep -c '^    def [a-z_0-9]*_with_http_info(')"
}
# These warnings tell of no loss: the generator calls its support of OpenAPI 3.1 a beta, chooses another name, or has no
# narrower type than Any for JSON that may be anything.
readonly HARMLESS='OpenAPI 3\.1 support is still in beta|Failed to get the schema name: null|\. Renamed to |Default to typing\.Any'
# openapi_generator GENERATOR LAYER OPTION...: fails on any other warning.
openapi_generator() {
    local generator=$1 layer=$2 log=openapi-generator-$1-$2.log
    shift 2
    if ! openapi-generator-cli generate --generator-name "$generator" --input-spec "$layer.json" "$@" >"$log" 2>&1; then
        cat "$log"
        return 1
    fi
    if grep -E '\b(WARN|ERROR)\b' "$log" | grep -vE "$HARMLESS"; then return 1; fi
}

step openapi-typescript each openapi_typescript
step openapi-python-client each openapi_python_client
if [ -z "$short" ]; then
    step hey-api each hey_api
    step orval orval --config orval.config.cjs
    step orval-operations each orval_operations
    step typescript-fetch each typescript_fetch
    step openapi-generator-python each openapi_generator_python
else
    # The first days whose clients were not generated.
    rm first_day_{hey_api,orval,typescript_fetch}.ts first_day_openapi_generator.py
fi

step tsc tsc --project tsconfig.json
# The generated code has the default rules, the first days have the strict ones.
packages=()
for package in cx_* og_*; do
    if [ -d "$package" ]; then packages+=(--package "$package"); fi
done
step mypy mypy "${packages[@]}"
step mypy-strict mypy --strict --follow-imports silent localhost.py first_day_*.py

serve
export CX_PORT=${url##*:}

for program in first_day_*.ts; do
    step "${program%.ts}" tsx --import ./localhost.mjs "$program"
done
for program in first_day_*.py; do
    step "${program%.py}" python "$program"
done
