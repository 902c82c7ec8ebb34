//go:build cgo && linux

// Package callback measures what it costs that a thread of the library, which Go does not know, calls into Go, and how
// soon a goroutine that is started there runs: the way of every handler of package primacy.
package callback

/*
#include <pthread.h>
#include <stdint.h>
#include <time.h>

extern void callbackGo(uintptr_t handle, int64_t called);

static int64_t callback_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

typedef struct { uintptr_t handle; int64_t times, ns; } callback_job;

static void *callback_thread(void *with) {
    callback_job *job = with;
    callbackGo(job->handle, callback_now()); // the first on a thread sets it up, and is not counted
    int64_t start = callback_now();
    for (int64_t i = 0; i < job->times; i++)
        callbackGo(job->handle, callback_now());
    job->ns = callback_now() - start;
    return NULL;
}

// How many nanoseconds so many callbacks took, on a thread of their own.
static int64_t callback_run(uintptr_t handle, int64_t times) {
    callback_job job = {handle, times, 0};
    pthread_t thread;
    if (pthread_create(&thread, NULL, callback_thread, &job) != 0)
        return -1;
    pthread_join(thread, NULL);
    return job.ns;
}
*/
import "C"

import (
	"runtime/cgo"
	"time"
)

// Run calls f from a thread that Go does not know, so many times, and returns what a call took on average. f gets the
// time at which it was called, by [Now].
func Run(times int, f func(called time.Duration)) time.Duration {
	handle := cgo.NewHandle(f)
	defer handle.Delete()
	return time.Duration(C.callback_run(C.uintptr_t(handle), C.int64_t(times))) / time.Duration(times)
}

// Now is the clock of Run.
func Now() time.Duration { return time.Duration(C.callback_now()) }
