#!/usr/bin/env bash
# Under libfaketime `cnd_timedwait` (C11 threads) ends at the wrong time, and `pthread_cond_timedwait` at the right one. The end
# of both waits is given as a time of day. libfaketime changes the clock of which programs make that time, and converts it back to
# the real clock for the POSIX call alone. So a test that steps the clock of a program with C11 threads, such as one with
# librdkafka, shows faults that no real clock causes: a wait of a second ends at once, or after an hour.
#
# Versions: libfaketime 0.9.10 (Debian 12: libfaketime 0.9.10-2.1), glibc 2.36. Needs a C compiler and Debian's apt; takes ten
# seconds.
#
# Steps: a program waits for one second for a condition that never comes, in both ways, and measures that by a clock that is
# not changed; its time of day is right, an hour behind, and an hour ahead.
#
# A reader would expect 1 s each time, since libfaketime is made for programs that need not know of it.
# Seen: `cnd_timedwait` returns at once with a clock that is behind, and not within five seconds with one that is ahead.
# The script fails when that changes.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
apt-get -qq -o APT::Sandbox::User=root download libfaketime=0.9.10-2.1 > /dev/null
dpkg -x libfaketime_*.deb lib
library=$(find lib -name libfaketimeMT.so.1)
cat > wait.c <<'X'
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <threads.h>
#include <time.h>
int main(int count, char **args) {
    struct timespec until, from, to;
    clock_gettime(CLOCK_MONOTONIC, &from);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 1;
    if (count > 1 && !strcmp(args[1], "cnd_timedwait")) {
        mtx_t mutex; cnd_t condition;
        mtx_init(&mutex, mtx_plain); cnd_init(&condition); mtx_lock(&mutex);
        while (cnd_timedwait(&condition, &mutex, &until) == thrd_success) {}
    } else {
        pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
        pthread_mutex_lock(&mutex);
        while (pthread_cond_timedwait(&condition, &mutex, &until) == 0) {}
    }
    clock_gettime(CLOCK_MONOTONIC, &to);
    printf("%ld", ((to.tv_sec - from.tv_sec) * 1000 + (to.tv_nsec - from.tv_nsec) / 1000000 + 250) / 500);
}
X
cc -o wait wait.c -pthread

# Half seconds, rounded.
waited() {
    FAKETIME=$2 FAKETIME_DONT_FAKE_MONOTONIC=1 LD_PRELOAD=$PWD/$library timeout 5 ./wait "$1" || printf 'more than 10'
}
changed=0
look() {
    local seen; seen=$(waited "$1" "$2")
    echo "$1, clock $2: waits $seen half seconds"
    [ "$seen" = "$3" ] || { echo "  differs: $3 was seen before"; changed=1; }
}
for clock in +0 -1h +1h; do look pthread_cond_timedwait $clock 2; done
look cnd_timedwait +0 2
look cnd_timedwait -1h 0
look cnd_timedwait +1h 'more than 10'
exit $changed
