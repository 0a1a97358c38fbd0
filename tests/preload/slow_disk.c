/* A disk on which every sync takes long: preloaded into a process, each call that makes bytes durable first sleeps for
 * SLOW_DISK_US microseconds, then does what it says. Nothing else changes.
 *
 * Not here: a disk that writes or reads slowly, and programs that make these calls without the C library. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/types.h>
#include <time.h>

static void delay(void) {
    const char *text = getenv("SLOW_DISK_US");
    long us = text ? strtol(text, NULL, 10) : 0;
    struct timespec left = {us / 1000000, (us % 1000000) * 1000};
    while (nanosleep(&left, &left) == -1 && errno == EINTR) {
    }
}

int fsync(int fd) {
    int (*real)(int) = dlsym(RTLD_NEXT, "fsync");
    delay();
    return real(fd);
}

int fdatasync(int fd) {
    int (*real)(int) = dlsym(RTLD_NEXT, "fdatasync");
    delay();
    return real(fd);
}

int syncfs(int fd) {
    int (*real)(int) = dlsym(RTLD_NEXT, "syncfs");
    delay();
    return real(fd);
}

int sync_file_range(int fd, off_t offset, off_t bytes, unsigned int flags) {
    int (*real)(int, off_t, off_t, unsigned int) = dlsym(RTLD_NEXT, "sync_file_range");
    delay();
    return real(fd, offset, bytes, flags);
}
