/* A clock that is wrong: preloaded into a process, clock_gettime(CLOCK_REALTIME) is CLOCK_AHEAD_S seconds ahead, or
 * behind, when that is negative. Nothing else changes: clocks that only measure are right.
 *
 * Not here: programs that read the time in another way, such as time(), or without the C library. */

#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *now) {
    int failed = (int)syscall(SYS_clock_gettime, clock, now);
    const char *text = getenv("CLOCK_AHEAD_S");
    if (!failed && clock == CLOCK_REALTIME && text) {
        now->tv_sec += strtol(text, NULL, 10);
    }
    return failed;
}
