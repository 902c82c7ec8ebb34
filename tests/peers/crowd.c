/* Many standbys in one process: sessions of their own, each with a connection, a lease, a server id and one election,
 * which are warm at once. They have the priority of 1 that is the default: who has a higher one is handed primacy first.
 *
 *     crowd ENDPOINT ROOT ROLE COUNT
 *
 * It says on stdout what the sample coordinators say. SIGTERM ends it.
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "primacy.h"

enum { MOST = 1000, STOP_MS = 30000 };

static const char *role;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of stdout */

struct one {
    primacy_session session;
    int64_t id;
    int is_warm; /* said */
};

static void say(const char *event, int64_t id) {
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    pthread_mutex_lock(&lock);
    printf("{\"t\":%" PRId64 ",\"role\":\"%s\",\"id\":%" PRId64 ",\"event\":\"%s\"}\n",
           t.tv_sec * INT64_C(1000000000) + t.tv_nsec, role, id, event);
    fflush(stdout);
    pthread_mutex_unlock(&lock);
}

static _Noreturn void fail(const char *what, const char *why) {
    fprintf(stderr, "crowd: %s: %s\n", what, why);
    exit(1);
}

static int32_t on_warmup(void *user_data, const primacy_call *call) {
    struct one *one = user_data;
    (void)call;
    if (!one->is_warm) /* calls of an election come one at a time */
        say("warm", one->id);
    one->is_warm = 1;
    return PRIMACY_WARM;
}

static int32_t on_primary(void *user_data, const primacy_call *call) {
    (void)call;
    say("primary", ((struct one *)user_data)->id);
    return PRIMACY_DONE;
}

static int32_t on_lost(void *user_data, const primacy_call *call) {
    struct one *one = user_data;
    (void)call;
    one->is_warm = 0;
    say("lost", one->id);
    return PRIMACY_DONE;
}

static void set(primacy_config config, const char *name, const char *value) {
    primacy_error *error;
    if (primacy_config_set(config, name, value, &error) != PRIMACY_OK)
        fail(name, primacy_error_message(error));
}

int main(int argc, char **argv) {
    static struct one crowd[MOST];
    const int count = argc == 5 ? atoi(argv[4]) : 0;
    char *split = argc == 5 ? strrchr(argv[2], '/') : NULL;
    if (count < 1 || count > MOST || split == NULL)
        fail("usage", "crowd ENDPOINT ROOT ROLE COUNT");
    role = argv[3];
    *split++ = 0;

    sigset_t ends;
    int ended;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &ends, NULL); /* before any thread starts */

    primacy_config config;
    primacy_config_new(&config);
    set(config, "etcd.endpoints", argv[1]);
    set(config, "etcd.rootPath", argv[2]);
    set(config, "etcd.metaSubPath", split);
    const primacy_candidate candidate = {
        .struct_size = sizeof candidate, .address = "127.0.0.1:1", .version = primacy_version()};
    const primacy_callbacks callbacks = {
        .struct_size = sizeof callbacks, .on_warmup = on_warmup, .on_primary = on_primary, .on_lost = on_lost};
    for (int i = 0; i < count; i++) {
        primacy_error *error;
        primacy_election election;
        if (primacy_session_open(config, &candidate, &crowd[i].session, &error) != PRIMACY_OK)
            fail("open", primacy_error_message(error));
        primacy_session_server_id(crowd[i].session, &crowd[i].id);
        if (primacy_session_register(crowd[i].session, role, &callbacks, &crowd[i], &election, &error) != PRIMACY_OK)
            fail("register", primacy_error_message(error));
        primacy_election_campaign(election);
    }
    sigwait(&ends, &ended);
    for (int i = 0; i < count; i++) /* all at once */
        primacy_session_stop(crowd[i].session, STOP_MS);
    for (int i = 0; i < count; i++)
        if (primacy_session_join(crowd[i].session, STOP_MS) != PRIMACY_OK)
            fail("stop", "not in time");
    return 0;
}
