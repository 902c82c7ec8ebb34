/* A thousand sessions, a thousand flips of a role, a thousand opens that fail: no thread, no descriptor, no memory, no
 * key and no lease is left over, and a peer that hangs up does not end the process by SIGPIPE.
 *
 *     thousand ENDPOINT ROUNDS
 */
#define _GNU_SOURCE
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "process.h"

enum { WITHIN_MS = 20000, OPENERS = 50 };

static const char *endpoint;
static int rounds;
static char root[64];

static primacy_config new_config(const char *endpoints) {
    primacy_config config;
    CHECK_OK(primacy_config_new(&config));
    CHECK_ERROR(primacy_config_set(config, "etcd.endpoints", endpoints, &error), PRIMACY_OK);
    CHECK_OK(primacy_config_set(config, "etcd.rootPath", root, NULL));
    CHECK_OK(primacy_config_set(config, "common.session.ttl", "60", NULL));
    return config;
}

static const primacy_candidate candidate = {
    .struct_size = sizeof candidate, .address = "127.0.0.1:1", .version = "1.0.0"};

static primacy_session open_session(void) {
    primacy_config config = new_config(endpoint);
    primacy_session session;
    CHECK_ERROR(primacy_session_open(config, &candidate, &session, &error), PRIMACY_OK);
    CHECK_OK(primacy_config_free(config));
    return session;
}

static void close_session(primacy_session session) {
    CHECK_OK(primacy_session_stop(session, WITHIN_MS));
    CHECK_OK(primacy_session_join(session, WITHIN_MS));
    CHECK_OK(primacy_session_free(session));
}

static atomic_int primary, lost;

static int32_t on_primary(void *user_data, const primacy_call *call) {
    (void)user_data, (void)call;
    primary++;
    return PRIMACY_DONE;
}

static int32_t on_lost(void *user_data, const primacy_call *call) {
    (void)user_data, (void)call;
    lost++;
    return PRIMACY_DONE;
}

static const primacy_callbacks callbacks = {
    .struct_size = sizeof callbacks, .on_primary = on_primary, .on_lost = on_lost};

/* ---- what there is ---- */

struct left {
    int threads, descriptors;
    size_t bytes;
    double leases;
};

static double leases(void) {
    return counted(endpoint, "etcd_debugging_lease_granted_total", "")
           - counted(endpoint, "etcd_debugging_lease_revoked_total", "");
}

/* When the library's threads have gone: the runtime of the last session, and its callback threads. */
static struct left now(void) {
    AWAIT(threads() == 1);
    struct left left = {threads(), descriptors(), mallinfo2().uordblks, leases()};
    return left;
}

/* Less for each than the least that can be allocated: what grew, if anything did, is a table. */
static void check_bytes(size_t before, size_t after) {
    CHECK_EQUAL(after > before ? (after - before) / (16 * (size_t)rounds) : 0, 0);
}

/* The counter of server ids of another root, once that is no number. */
static size_t spoilt;

/* Nothing but the counter of server ids, which stays as it does with Milvus. */
static void check_keys(void) {
    primacy_session session = open_session();
    primacy_txn txn;
    primacy_result result;
    size_t count;
    CHECK_OK(primacy_txn_new(&txn));
    CHECK_OK(primacy_txn_get_prefix(txn, root, strlen(root)));
    CHECK_OK(primacy_session_read(session, txn, WITHIN_MS, &result, NULL));
    CHECK_OK(primacy_result_count(result, 0, &count));
    CHECK_EQUAL(count, 1 + spoilt);
    CHECK_OK(primacy_result_free(result));
    CHECK_OK(primacy_txn_free(txn));
    close_session(session);
}

/* Runs `round` so often that what is made once has been made, then `rounds` times. */
static void repeat(void (*round)(void), int at_a_time) {
    for (int i = 0; i < 20; i++)
        round();
    const struct left before = now();
    for (int i = 0; i < rounds / at_a_time; i++)
        round();
    const struct left after = now();
    CHECK_EQUAL(after.threads, before.threads);
    CHECK_EQUAL(after.descriptors, before.descriptors);
    CHECK_EQUAL(after.leases, before.leases);
    check_bytes(before.bytes, after.bytes);
    check_keys();
}

/* ---- the rounds ---- */

static void open_and_close(void) {
    primacy_session session = open_session();
    primacy_election election;
    CHECK_OK(primacy_session_register(session, "rootcoord", &callbacks, NULL, &election, NULL));
    close_session(session);
    CHECK_OK(primacy_election_free(election));
}

static primacy_election elections[2];
static int turn;

static void flip(void) {
    const int before = primary;
    CHECK_OK(primacy_election_resign(elections[turn]));
    turn = !turn;
    AWAIT(primary > before);
    AWAIT(primacy_election_is_primary(elections[turn], NULL, NULL) == 1);
}

static void flip_a_thousand_times(void) {
    primacy_session sessions[2];
    const struct left before = now();
    for (int i = 0; i < 2; i++) {
        sessions[i] = open_session();
        CHECK_OK(primacy_session_register(sessions[i], "rootcoord", &callbacks, NULL, &elections[i], NULL));
        CHECK_OK(primacy_election_campaign(elections[i]));
        AWAIT(primary > 0);
    }
    for (int i = 0; i < 20 + rounds / 2; i++)
        flip();
    /* The recorder and the queues are as large as they get. */
    const size_t bytes = mallinfo2().uordblks;
    for (int i = 0; i < rounds / 2; i++)
        flip();
    /* They are in use, and of no even size. */
    CHECK(mallinfo2().uordblks < bytes + 100 * (size_t)rounds);
    for (int i = 0; i < 2; i++) {
        close_session(sessions[i]);
        CHECK_OK(primacy_election_free(elections[i]));
    }
    CHECK_EQUAL(primary, lost);
    const struct left after = now();
    check_bytes(before.bytes, after.bytes);
    CHECK_EQUAL(after.threads, before.threads);
    CHECK_EQUAL(after.descriptors, before.descriptors);
    CHECK_EQUAL(after.leases, before.leases);
    check_keys();
}

/* ---- opens that fail ---- */

/* A peer that never answers, and one that hangs up on everybody. */
static int silent_port, rude_port, refusing_port;
static atomic_bool rude = true;

static int listen_somewhere(int *port) {
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t size = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof at) == 0 && listen(fd, 128) == 0);
    CHECK_EQUAL(getsockname(fd, (struct sockaddr *)&at, &size), 0);
    *port = ntohs(at.sin_port);
    return fd;
}

static void *hang_up(void *listener) {
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    for (int fd; rude && (fd = accept(*(int *)listener, NULL, NULL)) >= 0; close(fd))
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once); /* a reset: writes to it get EPIPE */
    return NULL;
}

static void *fail_to_open(void *number) {
    const int ports[] = {silent_port, rude_port, refusing_port};
    const size_t kind = *(size_t *)number % 4;
    char there[64];
    primacy_session session;
    primacy_observer observer;
    snprintf(there, sizeof there, "%s127.0.0.1:%d", kind == 3 ? "https://" : "", ports[kind % 3]);
    primacy_config config = new_config(there);
    CHECK_OK(primacy_config_set(config, "etcd.requestTimeout", "100", NULL));
    if (kind == 3) { /* what is checked before anything is sent */
        CHECK_OK(primacy_config_set(config, "etcd.ssl.enabled", "true", NULL));
        CHECK_OK(primacy_config_set(config, "etcd.ssl.tlsCACert", "/nonexistent", NULL));
        CHECK_ERROR(primacy_session_open(config, &candidate, &session, &error), PRIMACY_E_DENIED);
    } else if (*(size_t *)number % 5 == 0) {
        CHECK_ERROR(primacy_observer_open(config, "rootcoord", NULL, NULL, &observer, &error),
                    PRIMACY_E_UNREACHABLE);
    } else {
        CHECK_ERROR(primacy_session_open(config, &candidate, &session, &error), PRIMACY_E_UNREACHABLE);
    }
    CHECK_OK(primacy_config_free(config));
    return NULL;
}

static void fail_to_open_often(void) {
    pthread_t openers[OPENERS];
    size_t numbers[OPENERS];
    for (size_t i = 0; i < OPENERS; i++) {
        numbers[i] = i;
        CHECK_EQUAL(pthread_create(&openers[i], NULL, fail_to_open, &numbers[i]), 0);
    }
    for (size_t i = 0; i < OPENERS; i++)
        CHECK_EQUAL(pthread_join(openers[i], NULL), 0);
}

/* With a lease granted before it turns out that there can be no server id. */
static void fail_to_open_late(void) {
    char there[80];
    primacy_session session;
    primacy_config config = new_config(endpoint);
    snprintf(there, sizeof there, "%s/spoilt", root);
    CHECK_OK(primacy_config_set(config, "etcd.rootPath", there, NULL));
    CHECK_ERROR(primacy_session_open(config, &candidate, &session, &error), PRIMACY_E_REFUSED);
    CHECK_OK(primacy_config_free(config));
}

static void late_failed_opens(void) {
    char key[100];
    primacy_session session = open_session();
    primacy_election election;
    primacy_txn txn;
    int64_t token;
    CHECK_OK(primacy_session_register(session, "rootcoord", &callbacks, NULL, &election, NULL));
    CHECK_OK(primacy_election_campaign(election));
    AWAIT(primacy_election_is_primary(election, &token, NULL) == 1);
    const int put = snprintf(key, sizeof key, "%s/spoilt/meta/session/id", root);
    CHECK_OK(primacy_txn_new(&txn));
    CHECK_OK(primacy_txn_put(txn, key, (size_t)put, "no number", 9));
    CHECK_OK(primacy_election_commit(election, token, txn, WITHIN_MS, NULL, NULL));
    CHECK_OK(primacy_txn_free(txn));
    close_session(session);
    CHECK_OK(primacy_election_free(election));
    spoilt = 1;
    const double granted = counted(endpoint, "etcd_debugging_lease_granted_total", "");
    repeat(fail_to_open_late, 1);
    CHECK(counted(endpoint, "etcd_debugging_lease_granted_total", "") >= granted + rounds);
}

static void failed_opens(void) {
    pthread_t peer;
    int silent = listen_somewhere(&silent_port), listener = listen_somewhere(&rude_port);
    close(listen_somewhere(&refusing_port));
    CHECK_EQUAL(pthread_create(&peer, NULL, hang_up, &listener), 0);
    for (int i = 0; i < 2; i++)
        fail_to_open_often();
    AWAIT(threads() == 2);
    const int fds = descriptors();
    const size_t bytes = mallinfo2().uordblks;
    for (int i = 0; i < (rounds + OPENERS - 1) / OPENERS; i++)
        fail_to_open_often();
    AWAIT(threads() == 2);
    CHECK_EQUAL(descriptors(), fds);
    check_bytes(bytes, mallinfo2().uordblks);
    rude = false;
    shutdown(listener, SHUT_RDWR);
    CHECK_EQUAL(pthread_join(peer, NULL), 0);
    close(listener);
    close(silent);
}

int main(int argc, char **argv) {
    CHECK_EQUAL(argc, 3);
    endpoint = argv[1];
    rounds = atoi(argv[2]);
    /* All memory in one arena, whose use mallinfo2 tells, and none kept back for a thread or a size. */
    if (getenv("GLIBC_TUNABLES") == NULL) {
        setenv("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0", 1);
        execv(argv[0], argv);
    }
    mallopt(M_ARENA_MAX, 1);
    mallopt(M_MXFAST, 0);
    snprintf(root, sizeof root, "thousand-%ld", (long)getpid());
    repeat(open_and_close, 1);
    flip_a_thousand_times();
    late_failed_opens();
    failed_opens();
    return 0;
}
