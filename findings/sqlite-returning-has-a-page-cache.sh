#!/usr/bin/env bash
# An UPDATE of one row with RETURNING, in SQLite: each execution of the prepared statement allocates a page cache of 20 pages,
# 87,360 bytes, and frees it again. Without RETURNING it needs no more than the
# small memory that a connection keeps (lookaside).
#
# Versions: SQLite 3.54.1 and 3.46.1, as apsw 3.54.1.0 and 3.46.1.0 bring them along. Needs Python 3 with venv; takes some seconds.
#
# Steps: in a transaction that has written before, execute a statement that was executed before, and ask SQLite for the size of its
# largest allocation since (SQLITE_STATUS_MALLOC_SIZE). Then time 20,000 of them.
#
# A reader would expect RETURNING to cost no more than reading the row beside the update, which is how it is used: one statement in
# place of two.
# Seen: the rows to return are kept in a table of its own until the statement has ended, with a B-tree and a page cache that is
# filled at once. DELETE does the same. Two statements, an UPDATE and a SELECT, allocate nothing and take less time. In a program of several
# threads it is worse than the figure here, since glibc gives memory of more than 64 KiB back to the system when it is freed on
# another thread than the first: each statement then ends with a call of madvise, and the next one has page faults.
# The script fails when that changes.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat > ask.py <<'E'
import time
import apsw
c = apsw.Connection("runs.db")
c.execute("PRAGMA journal_mode = wal")
c.execute("DROP TABLE IF EXISTS runs")
c.execute("CREATE TABLE runs (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, version INTEGER NOT NULL)")
c.execute("INSERT INTO runs VALUES (1, 'a', 0), (2, 'b', 0)")
PLAIN = ["UPDATE runs SET version = version + 1 WHERE id = 'a'", "SELECT number FROM runs WHERE id = 'a'"]
RETURNING = [PLAIN[0] + " RETURNING number"]
def execute(statements):
    for sql in statements:
        list(c.execute(sql))
def largest(statements):
    for _ in range(2):
        c.execute("BEGIN IMMEDIATE")
        c.execute("UPDATE runs SET version = version + 1 WHERE number = 2")
        apsw.status(apsw.SQLITE_STATUS_MALLOC_SIZE, True)
        execute(statements)
        size = apsw.status(apsw.SQLITE_STATUS_MALLOC_SIZE, True)[1]
        c.execute("COMMIT")
    return size
def micros(statements):
    c.execute("BEGIN IMMEDIATE")
    began = time.perf_counter()
    for _ in range(20_000):
        execute(statements)
    took = time.perf_counter() - began
    c.execute("COMMIT")
    return took / 20_000 * 1e6
print(f"UPDATE and SELECT {largest(PLAIN)} bytes, RETURNING {largest(RETURNING)} bytes")
print(f"UPDATE and SELECT {micros(PLAIN):.1f} us, RETURNING {micros(RETURNING):.1f} us")
E
seen=0
for version in 3.54.1.0 3.46.1.0; do
    python3 -m venv "venv-$version"
    "venv-$version/bin/pip" -q --disable-pip-version-check install "apsw==$version"
    said=$("venv-$version/bin/python" ask.py)
    echo "SQLite ${version%.0}: $said" | paste -sd ';'
    [[ $said == "UPDATE and SELECT 0 bytes, RETURNING 87360 bytes"* ]] && seen=$((seen + 1))
done
if [ "$seen" != 2 ]; then echo "changed: an update with RETURNING no longer allocates a page cache"; exit 1; fi
