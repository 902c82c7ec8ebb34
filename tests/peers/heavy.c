/* Preloaded into a program, this makes it a large one: 200 MB, all of it in use, before it begins. */
#define _GNU_SOURCE
#include <sys/mman.h>

enum { MEGABYTES = 200 };

__attribute__((constructor)) static void grow(void) {
    /* That it may fail shows in the size of the process, at which whoever started it looks. */
    (void)mmap(0, (size_t)MEGABYTES << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
}
