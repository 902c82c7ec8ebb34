/* A process that is short of something: of threads, descriptors or address space, from each step of an election's life
 * on. What can not be done is an error that says what is missing; nothing crashes, hangs or is left over, and once there
 * is enough again, all works. Each try is a process of its own.
 *
 *     short ENDPOINT
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "process.h"

enum { ENOUGH = 1000000, WITHIN_MS = 20000, MB = 1024 * 1024 };

/* How many more threads can be made. */
static atomic_int threads_left = ENOUGH;

/* In place of the system's, for the library as well. */
int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument) {
    int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    *(void **)&real = dlsym(RTLD_NEXT, "pthread_create");
    if (atomic_fetch_sub(&threads_left, 1) <= 0) {
        atomic_fetch_add(&threads_left, 1);
        return EAGAIN;
    }
    return real(thread, attributes, run, argument);
}

static const char *endpoint;
static atomic_int began, lost, stopped, released, warned;

static int32_t on_primary(void *user_data, const primacy_call *call) {
    (void)user_data, (void)call;
    began++;
    AWAIT(released);
    return PRIMACY_DONE;
}

static int32_t on_lost(void *user_data, const primacy_call *call) {
    (void)user_data, (void)call;
    lost++;
    return PRIMACY_DONE;
}

static void on_stopped(void *user_data) {
    (void)user_data;
    stopped++;
}

static void on_line(void *user_data, int32_t level, const char *text) {
    (void)user_data, (void)level;
    warned += strstr(text, "callbacks may have to wait for one another") != NULL;
}

static primacy_config config(const char *root) {
    primacy_log log = {.struct_size = sizeof log, .level = PRIMACY_LOG_WARN, .on_line = on_line};
    primacy_config config;
    CHECK_OK(primacy_config_new(&config));
    CHECK_ERROR(primacy_config_set(config, "etcd.endpoints", endpoint, &error), PRIMACY_OK);
    CHECK_OK(primacy_config_set(config, "etcd.rootPath", root, NULL));
    CHECK_OK(primacy_config_set(config, "etcd.requestTimeout", "2000", NULL));
    CHECK_OK(primacy_config_set_log(config, &log, NULL, NULL));
    return config;
}

static const primacy_candidate candidate = {
    .struct_size = sizeof candidate, .address = "127.0.0.1:1", .version = "1.0.0"};

/* What is short. */
struct shortage {
    enum { THREADS, DESCRIPTORS, MEMORY } of;
    /* How much more there may be than there is. */
    long left;
};

static void limit(int resource, rlim_t to) {
    struct rlimit limits;
    CHECK(getrlimit(resource, &limits) == 0);
    limits.rlim_cur = to < limits.rlim_max ? to : limits.rlim_max;
    CHECK(setrlimit(resource, &limits) == 0);
}

static void begin(struct shortage shortage) {
    switch (shortage.of) {
    case THREADS:
        threads_left = (int)shortage.left;
        break;
    case DESCRIPTORS: /* one less than it counts, since it has one open itself */
        limit(RLIMIT_NOFILE, (rlim_t)(descriptors() - 1 + shortage.left));
        break;
    case MEMORY:
        limit(RLIMIT_AS, (rlim_t)(status_of("VmSize") * 1024 + shortage.left * MB));
        break;
    }
}

static void end(void) {
    threads_left = ENOUGH;
    limit(RLIMIT_NOFILE, RLIM_INFINITY);
    limit(RLIMIT_AS, RLIM_INFINITY);
}

static int warns(primacy_session session) {
    char *json = NULL;
    CHECK_OK(primacy_session_snapshot_json(session, &json, NULL));
    int found = strstr(json, "callbacks may have to wait for one another") != NULL;
    primacy_string_free(json);
    return found;
}

/* The life of an election, in steps; from step `from` on something is short. Whether it could be opened. */
static int live(primacy_config config, int from, struct shortage shortage) {
    primacy_callbacks callbacks = {
        .struct_size = sizeof callbacks, .on_primary = on_primary, .on_lost = on_lost, .on_stopped = on_stopped};
    static const char *const roles[] = {"r", "s", "t", "u"};
    primacy_session session;
    primacy_election elections[4];
    int registered = 0;
    primacy_error *error = NULL;
    sigset_t before, after;
    sigemptyset(&before);
    after = before;
    began = lost = stopped = released = warned = 0;
    CHECK(pthread_sigmask(SIG_SETMASK, NULL, &before) == 0);
    if (from == 0)
        begin(shortage);
    primacy_status status = primacy_session_open(config, &candidate, &session, &error);
    CHECK(pthread_sigmask(SIG_SETMASK, NULL, &after) == 0);
    CHECK(memcmp(&before, &after, sizeof before) == 0);
    if (status != PRIMACY_OK) {
        end();
        const char *message = primacy_error_message(error);
        CHECK(from == 0 && primacy_status_may_pass(status));
        if (shortage.of == THREADS) {
            CHECK_EQUAL(status, PRIMACY_E_SYSTEM);
            CHECK(strstr(message, "no further thread") != NULL);
        }
        if (shortage.of == DESCRIPTORS) {
            CHECK(status == PRIMACY_E_SYSTEM || status == PRIMACY_E_UNREACHABLE);
            CHECK(strstr(message, "Too many open files") != NULL);
        }
        primacy_error_free(error);
        return 0;
    }
    if (from == 1)
        begin(shortage);
    primacy_election *election = elections;
    CHECK_ERROR(primacy_session_register(session, roles[registered++], &callbacks, NULL, election, &error), PRIMACY_OK);
    CHECK_OK(primacy_election_campaign(*election));
    AWAIT(began);
    if (from == 2)
        begin(shortage);
    /* It blocks, and yet the loss is told. */
    CHECK_OK(primacy_election_resign(*election));
    AWAIT(lost);
    if (shortage.of == THREADS && shortage.left == 0 && from < 3) {
        /* More callbacks that block than there are threads: that is said, and passes with the shortage. */
        while (registered < 4) {
            election = &elections[registered];
            CHECK_OK(primacy_session_register(session, roles[registered++], &callbacks, NULL, election, NULL));
            CHECK_OK(primacy_election_campaign(*election));
        }
        AWAIT(warns(session));
        end();
        AWAIT(began == 4 && warned);
        CHECK(!warns(session));
        begin(shortage);
    }
    released = 1;
    if (from == 3)
        begin(shortage);
    CHECK_OK(primacy_session_stop(session, WITHIN_MS));
    CHECK_OK(primacy_session_join(session, WITHIN_MS));
    CHECK_OK(primacy_session_free(session));
    CHECK_EQUAL(stopped, registered);
    while (registered > 0)
        CHECK_OK(primacy_election_free(elections[--registered]));
    end();
    return 1;
}

/* In a process of its own: short once, and then enough. */
static void try(int number, int from, struct shortage shortage) {
    static const char *const names[] = {"threads", "descriptors", "MB of address space"};
    pid_t child = fork();
    int how = -1;
    CHECK(child >= 0);
    if (child == 0) {
        char root[64];
        alarm(120);
        snprintf(root, sizeof root, "short-%ld-%d", (long)getpid(), number);
        primacy_config settings = config(root);
        int threads_before = threads(), descriptors_before = descriptors();
        int opened = live(settings, from, shortage);
        if (shortage.of == THREADS && from == 0)
            CHECK_EQUAL(opened, shortage.left >= 3); /* one for etcd, two for callbacks */
        AWAIT(threads() == threads_before);
        CHECK_EQUAL(descriptors(), descriptors_before);
        CHECK(live(settings, 9, shortage));
        AWAIT(threads() == threads_before);
        CHECK_EQUAL(descriptors(), descriptors_before);
        CHECK_OK(primacy_config_free(settings));
        _exit(0);
    }
    CHECK(waitpid(child, &how, 0) == child);
    if (how != 0) {
        fprintf(stderr, "with %ld more %s from step %d on: it ends with %x\n", shortage.left, names[shortage.of], from,
                (unsigned)how);
        abort();
    }
}

int main(int argc, char **argv) {
    int number = 0;
    CHECK(argc >= 2);
    endpoint = argv[1];
    if (argc == 3) { /* for whoever wants to know where it begins to abort */
        try(0, 0, (struct shortage){MEMORY, atol(argv[2])});
        return 0;
    }
    for (int from = 0; from < 4; from++) {
        for (long left = 0; left < (from == 0 ? 5 : 2); left++)
            try(number++, from, (struct shortage){THREADS, left});
        for (long left = 0; left < (from == 0 ? 6 : 1); left++)
            try(number++, from, (struct shortage){DESCRIPTORS, left});
        for (long left = 24; left <= 96; left *= 2)
            try(number++, from, (struct shortage){MEMORY, left});
    }
    return 0;
}
