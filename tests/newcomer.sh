#!/usr/bin/env bash
# Adds a resource as CONTRIBUTING.md says, in a copy of the sources: tests/newcomer/tags.patch has one migration, one file and
# two lines of src/workspace/mod.rs. Then prints the generated files again. The result must compile, the tests of every
# route and page must cover the new ones, and the documentation must have them.
set -euo pipefail
cd "$(dirname "$0")/.."

copy=$PWD/target/newcomer
rm -rf "$copy"
mkdir -p "$copy/target/debug"
git ls-files -z | xargs -0 cp --parents -t "$copy"
# The dependencies are compiled already, if the tests ran before. Only this package is compiled again.
for part in deps build .fingerprint; do
    [ ! -d "target/debug/$part" ] || cp -al "target/debug/$part" "$copy/target/debug/"
done

cd "$copy"
export CARGO_TARGET_DIR=$copy/target
patch --quiet -p1 <tests/newcomer/tags.patch
cargo build --locked --quiet
program=$CARGO_TARGET_DIR/debug/cx-engine
for layer in central workspace; do "$program" openapi "$layer" >"tests/openapi/$layer.json"; done
for page in routes configuration; do "$program" docs "$page" >"docs/$page.md"; done

# Four of the tests that go through the whole table, and those of the description. The others work the same way.
cargo test --locked --quiet --lib -- permission_catalog without_a_token_only every_answer_has_the_shape \
    a_role_does_what_its_permissions_say a_change_has_the_tag every_summary no_public_text every_body_has \
    every_operation_has the_description_is every_field_of_an_entity tests::views console_
grep -q '`/tags/{id}`' docs/routes.md
grep -q '`/ui/tags/{id}/edit`' docs/routes.md
grep -q '"listTags"' tests/openapi/workspace.json
"$program" workspace import --help | grep -q 'tags'
echo "A new resource took $(grep -c '^+++ ' tests/newcomer/tags.patch) files by hand; its routes and pages are tested and documented."
rm -rf "$copy"
