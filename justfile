# Tasks. Each is a command that can be typed without just.

_list:
    @{{ just_executable() }} --list

# Format, lints, documentation, licences and tests, without root
check:
    .ci/run check test

# Everything that CI runs
ci:
    .ci/run

# Serve the demo on http://acme.localhost:8080
demo:
    cargo run --release -- demo

# Print the generated pages of docs/ again
docs:
    cargo run --quiet -- docs routes >docs/routes.md
    cargo run --quiet -- docs configuration >docs/configuration.md

# Write the OpenAPI snapshots of tests/openapi/ again
snapshots:
    cargo run --quiet -- openapi central >tests/openapi/central.json
    cargo run --quiet -- openapi workspace >tests/openapi/workspace.json

# Run the load benchmark
bench *options:
    cargo bench --locked --profile dist --bench load -- {{ options }}
