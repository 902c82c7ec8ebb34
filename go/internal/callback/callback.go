//go:build cgo && linux

// Package callback measures what it costs that a thread that Go does not know calls into Go, and how soon a goroutine that is
// started there runs: the last part of the way of every handler of package primacy, done again here without the library.
// BenchmarkCloseToOnLost, there, measures a whole way. And the other way: what a call into C costs at the least, which no
// answer of the library can be cheaper than.
package callback

/*
#cgo nocallback callback_nothing
#cgo nocallback callback_boot_time

#include <pthread.h>
#include <stdint.h>
#include <time.h>

extern void callbackGo(uintptr_t handle, int64_t called);

static int64_t callback_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static int64_t callback_nothing(int64_t number) { return number; }

static int64_t callback_boot_time(int64_t number) {
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec + number;
}

// How long a reading of that clock takes, in C.
static double callback_clock(int64_t times) {
    volatile int64_t sum = 0;
    int64_t start = callback_now();
    for (int64_t i = 0; i < times; i++)
        sum += callback_boot_time(i);
    return (double)(callback_now() - start) / (double)times;
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

// Nothing calls a function in C that does nothing, as IsPrimary calls the library.
func Nothing() int64 { return int64(C.callback_nothing(1)) }

// BootTime calls a function in C that reads the clock that the library must read: the one that counts suspend.
func BootTime() int64 { return int64(C.callback_boot_time(0)) }

// Clock is how many nanoseconds such a reading takes without the call from Go.
func Clock(times int) float64 { return float64(C.callback_clock(C.int64_t(times))) }
