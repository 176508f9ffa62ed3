/* Has the timed waits of the Kafka client go by the clock that libfaketime steps: it leaves the waits of C11 threads alone,
 * whose end is a time of day. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/syscall.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

int cnd_timedwait(cnd_t *condition, mtx_t *mutex, const struct timespec *until) {
    static int (*wait)(cnd_t *, mtx_t *, const struct timespec *);
    struct timespec stepped, real, converted;
    if (!wait)
        wait = (int (*)(cnd_t *, mtx_t *, const struct timespec *))dlsym(RTLD_NEXT, "cnd_timedwait");
    clock_gettime(CLOCK_REALTIME, &stepped);
    syscall(SYS_clock_gettime, CLOCK_REALTIME, &real);
    converted.tv_sec = until->tv_sec + real.tv_sec - stepped.tv_sec;
    converted.tv_nsec = until->tv_nsec + real.tv_nsec - stepped.tv_nsec;
    while (converted.tv_nsec < 0) {
        converted.tv_nsec += 1000000000;
        converted.tv_sec -= 1;
    }
    while (converted.tv_nsec >= 1000000000) {
        converted.tv_nsec -= 1000000000;
        converted.tv_sec += 1;
    }
    return wait(condition, mutex, &converted);
}
