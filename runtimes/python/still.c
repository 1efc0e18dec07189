/* Preloaded while the snapshot is made, so that it holds nothing of the machine: no entropy, no time. The same sources
 * then give the same bytes. Never part of what is run. */
#define _GNU_SOURCE
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>

ssize_t getrandom(void* at, size_t size, unsigned flags) {
  (void)flags;
  memset(at, 0x5a, size);
  return (ssize_t)size;
}

int getentropy(void* at, size_t size) {
  memset(at, 0x5a, size);
  return 0;
}

int clock_gettime(clockid_t clock, struct timespec* time) {
  (void)clock;
  time->tv_sec = 946684800; /* 2000-01-01, when every guest's clock starts */
  time->tv_nsec = 0;
  return 0;
}
