#!/usr/bin/env bash
# Tests the Debian package, from its build to its purge, in a Debian folder that debootstrap creates once and each run
# copies. There is no systemd inside, so the script starts the server as the unit would. PROFILE=dev packs the program
# of the tests; what people get is dist. Requires root.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly OUT=$PWD/target/deb DATA=/var/lib/cx-engine BACKUPS=/var/backups/cx-engine PATIENCE=30

say() { echo "deb: $*"; }
fail() { say "FAILED: $*" >&2; exit 1; }

if [ "$(id -u)" -ne 0 ] || ! command -v debootstrap >/dev/null; then
    say "skipped, it wants root and debootstrap"
    if [ "${CI:-}" = true ]; then exit 1; else exit 0; fi
fi
readonly PROFILE=${PROFILE:-dist}
cargo build --profile "$PROFILE" --locked --quiet
case $PROFILE in
    dev) readonly program=target/debug/cx-engine ;;
    *) readonly program=target/$PROFILE/cx-engine ;;
esac
PATH=$PWD/target/programs/bin:$PATH
command -v cargo-deb >/dev/null || cargo install --quiet --locked --debug --root target/programs cargo-deb

mkdir -p "$OUT"
# shellcheck source=/dev/null
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
base=$OUT/$suite root=$OUT/root
if [ ! -d "$base" ]; then
    mirror=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' |
        sed -n "s/ $suite\$//p" | head -n 1)
    say "a Debian $suite from $mirror"
    rm -rf "$base.part"
    debootstrap --variant=minbase --include=ca-certificates "$suite" "$base.part" "$mirror" >"$OUT/debootstrap.log"
    mv "$base.part" "$base"
fi

server=
finish() {
    if [ -n "$server" ]; then kill "$server" 2>/dev/null && wait "$server" || true; fi
    rm -rf "$root"
}
trap finish EXIT
trap 'exit 1' INT TERM
rm -rf "$root"
cp -a --reflink=auto "$base" "$root"

# inside USER COMMAND …: runs a command as that user inside.
inside() {
    local user=$1
    shift
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 chroot --userspec="$user:" "$root" "$@"
}
service() { inside cx-engine "$@"; }
# Runs the command line of a unit, which must not contain quotes.
command_of() { sed -n 's/^ExecStart=//p' "$root/usr/lib/systemd/system/$1"; }
dpkg_in() { inside root dpkg "$@" >>"$OUT/dpkg.log" 2>&1 || fail "dpkg $*: see target/deb/dpkg.log"; }
start() {
    # shellcheck disable=SC2046
    env -i PATH=/usr/sbin:/usr/bin chroot --userspec=cx-engine: "$root" $(command_of cx-engine.service) >"$OUT/serve.log" 2>&1 &
    server=$!
    for _ in $(seq $((PATIENCE * 10))); do
        if inside root cx-engine health >/dev/null 2>&1; then return; fi
        kill -0 "$server" 2>/dev/null || fail "the server ended: $(cat "$OUT/serve.log")"
        sleep 0.1
    done
    fail "the server is not ready: $(inside root cx-engine health 2>&1)"
}
stop() {
    kill "$server"
    wait "$server" || fail "the server did not end well: $(cat "$OUT/serve.log")"
    server=
}
has_acme() { service cx-engine workspace list | grep -q acme || fail "$1: the workspace is gone"; }
links() { find "$root/etc/systemd/system" -name 'cx-engine*' -printf '%P\n' | sort | xargs; }
is() { [ "$2" = "$3" ] || fail "$1: it is $2, and should be $3"; }

: >"$OUT/dpkg.log"
# The second package is the same with a higher version, packed in less time.
packaging/prepare "$program"
cargo deb --quiet --no-build --profile "$PROFILE" --output "$OUT/cx-engine.deb" >/dev/null
cargo deb --quiet --no-build --profile "$PROFILE" --fast --deb-version 9.0.0-1 --output "$OUT/cx-engine_9.deb" >/dev/null
cp "$OUT"/cx-engine{,_9}.deb "$root/root/"

dpkg_in -i /root/cx-engine.deb
is "the user" "$(grep -c '^cx-engine:.*:/var/lib/cx-engine:/usr/sbin/nologin$' "$root/etc/passwd")" 1
for folder in $DATA $BACKUPS; do
    is "$folder" "$(inside root stat -c '%U %a' "$folder")" "cx-engine 700"
done
is "what is switched on" "$(links)" "multi-user.target.wants/cx-engine.service timers.target.wants/cx-engine-backup.timer"
say "installed; the service and a backup a day are switched on, and cx-engine is a user who cannot log in"

doc=$root/usr/share/doc/cx-engine
for page in cx-engine cx-engine-serve cx-engine-account-create; do
    [ -s "$root/usr/share/man/man1/$page.1.gz" ] || fail "no manual page of $page"
done
for file in bash-completion/completions/cx-engine zsh/vendor-completions/_cx-engine fish/vendor_completions.d/cx-engine.fish; do
    [ -s "$root/usr/share/$file" ] || fail "no completion in $file"
done
zcat "$doc/changelog.Debian.gz" | sed -n 1p | grep -q '^cx-engine (' || fail "no Debian changelog"
find "$doc" -name '*.md' | while read -r document; do
    { grep -oE '\]\([^)#:]+[#)]' "$document" || true; } | sed 's/^](//; s/[#)]$//' | sort -u | while read -r link; do
        [ -e "$(dirname "$document")/$link" ] || fail "$(basename "$document") links to $link, which does not exist"
    done
done
say "manual pages, completions and the changelog are there, and every link of the documents leads somewhere"

port=$((20000 + RANDOM % 12000))
conf=$root/etc/cx-engine/cx-engine.toml
echo "listen = \"127.0.0.1:$port\" # the admin's" >>"$conf"
start
is "the server's user" "$(stat -c %u "/proc/$server")" "$(inside root id -u cx-engine)"
say "$(inside root cx-engine health), and is cx-engine's"
refused=$(inside root cx-engine workspace list 2>&1) && fail "root is not rejected"
grep -q 'sudo -u cx-engine cx-engine' <<<"$refused" || fail "root gets no hint: $refused"
service cx-engine account create --name Ada --email ada@example.com <<<'a-long-password' >/dev/null
service cx-engine workspace create --name Acme --subdomain acme --owner ada@example.com >/dev/null
has_acme "beside the server"
# shellcheck disable=SC2046
service $(command_of cx-engine-backup.service) >/dev/null
is "backups" "$(inside root find $BACKUPS -name '*Z' | wc -l)" 1
say "an account, a workspace and a backup were made beside the server, by its user; root was refused"

dpkg_in -i /root/cx-engine_9.deb
is "the version" "$(inside root dpkg-query -W -f '${Version}' cx-engine)" 9.0.0-1
grep -q "the admin's" "$conf" || fail "the upgrade lost the admin's settings"
has_acme "upgraded under a running server"
stop
start
has_acme "upgraded and restarted"
stop
say "upgraded: data, and settings that an admin changed, are as they were"

dpkg_in -r cx-engine
[ ! -e "$root/usr/bin/cx-engine" ] || fail "removed, but still there"
grep -q "the admin's" "$conf" || fail "removal deleted the settings"
dpkg_in -i /root/cx-engine_9.deb
start
has_acme "reinstalled"
stop
is "what is switched on again" "$(links)" "multi-user.target.wants/cx-engine.service timers.target.wants/cx-engine-backup.timer"
say "removed and installed again: data and settings are as they were"

# Like `systemctl enable`, which does not exist inside.
mkdir -p "$root/etc/systemd/system/sockets.target.wants"
ln -s /usr/lib/systemd/system/cx-engine.socket "$root/etc/systemd/system/sockets.target.wants/"
dpkg_in -P cx-engine
[ ! -e "$root/etc/cx-engine" ] || fail "purged, but $(find "$root/etc/cx-engine") is still there"
is "what is left of units" "$(links)" ""
for folder in $DATA $BACKUPS; do
    grep -q "the content of $folder is kept" "$OUT/dpkg.log" || fail "no message about $folder"
    is "$folder" "$(inside root stat -c '%U %a' "$folder")" "cx-engine 700"
done
dpkg_in -i /root/cx-engine_9.deb
has_acme "purged and installed again"
service cx-engine backups --verify >/dev/null
say "purged: units and settings are gone, data and backups are where they were, and dpkg said so"

size() { numfmt --to=si --suffix=B "$(stat -c %s "$1")"; }
say "the package has $(size "$OUT/cx-engine.deb"), its program $(size "$root/usr/bin/cx-engine");" \
    "$(inside root dpkg-query -W -f '${Depends}' cx-engine)"
