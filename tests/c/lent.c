/* A host that lends its own store: a small one, in memory. Sessions and observers live on it as on etcd, without a
 * socket of the library's; and whatever the store gets wrong is a status, or nothing. Needs no etcd.
 */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <unistd.h>

#include "process.h"

/* ---- the store ---- */

enum { KEYS = 64, LEASES = 64, WATCHES = 64, RANGES = 16, BYTES = 1024, GETS = 16 };

struct bytes {
    char data[BYTES];
    size_t size;
};

struct key {
    struct bytes key, value;
    int64_t created, modified, version, lease;
};

struct watched {
    primacy_watch watch; /* 0: free */
    struct bytes from[RANGES], end[RANGES];
    size_t ranges;
};

/* How it answers. */
enum manner {
    AT_ONCE, /* inside the function that asks */
    LATER_ON, /* by a thread of its own */
    NEVER,
};

static struct {
    pthread_mutex_t lock;
    struct key keys[KEYS];
    int64_t leases[LEASES];
    struct watched watches[WATCHES];
    int64_t revision;
    uint64_t term;
    _Atomic enum manner manner;
    atomic_bool hostile; /* each answer is first given wrong in every way, then right, then again */
    atomic_int asked, granted, unwatched, stopped;
    _Atomic primacy_request last;
} store = {.lock = PTHREAD_MUTEX_INITIALIZER, .revision = 1, .term = 2};

/* What is answered, with all that it points to. */
struct answer {
    primacy_request request;
    primacy_answer answer;
    primacy_found found[GETS];
    primacy_key_value key_values[KEYS];
    struct key keys[KEYS];
    size_t size;
};

static void set(struct bytes *to, const char *from, size_t size) {
    CHECK(size <= BYTES);
    to->size = size;
    if (size > 0)
        memcpy(to->data, from, size);
}

static int compared(const char *a, size_t a_size, const char *b, size_t b_size) {
    size_t both = a_size < b_size ? a_size : b_size;
    int order = both == 0 ? 0 : memcmp(a, b, both);
    return order != 0 ? order : (a_size > b_size) - (a_size < b_size);
}

static bool within(const struct bytes *key, const primacy_range *range) {
    int from = compared(key->data, key->size, range->key, range->key_size);
    return range->end == NULL ? from == 0
                              : from >= 0 && compared(key->data, key->size, range->end, range->end_size) < 0;
}

static primacy_key_value shown(const struct key *key) {
    return (primacy_key_value){
        .struct_size = sizeof(primacy_key_value),
        .key = key->key.data,
        .key_size = key->key.size,
        .value = key->value.data,
        .value_size = key->value.size,
        .create_revision = key->created,
        .mod_revision = key->modified,
        .version = key->version,
        .lease = key->lease,
    };
}

static void tell(const struct key *key) {
    const primacy_key_value event = shown(key);
    for (size_t i = 0; i < WATCHES; i++)
        for (size_t j = 0; store.watches[i].watch != 0 && j < store.watches[i].ranges; j++) {
            const struct watched *watched = &store.watches[i];
            const primacy_range range = {watched->from[j].data, watched->from[j].size,
                                         watched->end[j].size == 0 ? NULL : watched->end[j].data,
                                         watched->end[j].size};
            if (within(&key->key, &range))
                CHECK(primacy_watch_events(watched->watch, &event, 1, NULL) != PRIMACY_E_ARGUMENT);
        }
}

static void delete(struct key *key) {
    key->modified = store.revision;
    key->version = key->lease = 0;
    tell(key);
    memset(key, 0, sizeof *key);
}

static bool holds(const primacy_compare *compare) {
    const struct key none = {.version = 0};
    bool found = false;
    for (size_t i = 0; i <= KEYS; i++) {
        const struct key *key = i == KEYS ? &none : &store.keys[i];
        if (i == KEYS ? found : key->version == 0 || !within(&key->key, &compare->range))
            continue;
        found = true;
        switch (compare->target) {
        case PRIMACY_COMPARE_VERSION: if (key->version != compare->number) return false; break;
        case PRIMACY_COMPARE_MOD_REVISION: if (key->modified != compare->number) return false; break;
        case PRIMACY_COMPARE_LEASE: if (key->lease != compare->number) return false; break;
        default:
            CHECK_EQUAL(compare->target, PRIMACY_COMPARE_VALUE);
            if (i == KEYS || compared(key->value.data, key->value.size, compare->value, compare->value_size) != 0)
                return false;
        }
    }
    return true;
}

static void put(const primacy_op *op) {
    size_t at = KEYS;
    for (size_t i = KEYS; i-- > 0;)
        if (store.keys[i].version == 0)
            at = i;
    for (size_t i = 0; i < KEYS; i++)
        if (store.keys[i].version != 0 && within(&store.keys[i].key, &op->range))
            at = i;
    CHECK(at < KEYS);
    struct key *key = &store.keys[at];
    if (key->version++ == 0)
        key->created = store.revision;
    set(&key->key, op->range.key, op->range.key_size);
    set(&key->value, op->value, op->value_size);
    key->modified = store.revision;
    key->lease = op->lease;
    tell(key);
}

static void get(struct answer *answer, const primacy_range *range) {
    CHECK(answer->answer.found_count < GETS);
    primacy_found *found = &answer->found[answer->answer.found_count++];
    found->key_values = &answer->key_values[answer->size];
    for (size_t i = 0; i < KEYS; i++)
        if (store.keys[i].version != 0 && within(&store.keys[i].key, range)) {
            CHECK(answer->size < KEYS);
            answer->keys[answer->size] = store.keys[i];
            answer->key_values[answer->size] = shown(&answer->keys[answer->size]);
            answer->size++;
            found->count++;
        }
}

static int64_t *lease_of(int64_t lease) {
    for (size_t i = 0; i < LEASES; i++)
        if (store.leases[i] == lease)
            return &store.leases[i];
    return NULL;
}

/* Everything that is no answer to this. */
static void answer_wrong(const primacy_answer *right) {
    const primacy_request request = store.last;
    const primacy_key_value small = {.struct_size = 1}, odd[2] = {{.struct_size = sizeof *odd}, {.struct_size = 9}};
    const primacy_key_value null = {.struct_size = sizeof null, .key_size = 1};
    const primacy_found bad[] = {{NULL, 1}, {&small, 1}, {odd, 2}, {&null, 1}, {&small, SIZE_MAX}};
    const primacy_status why[] = {PRIMACY_E_NULL, PRIMACY_E_STRUCT_SIZE, PRIMACY_E_STRUCT_SIZE, PRIMACY_E_NULL,
                                  PRIMACY_E_ARGUMENT};
    primacy_answer wrong = *right;
    CHECK_ERROR(primacy_request_complete(request, NULL, &error), PRIMACY_E_NULL);
    wrong.struct_size = 1;
    CHECK_ERROR(primacy_request_complete(request, &wrong, &error), PRIMACY_E_STRUCT_SIZE);
    wrong = *right;
    wrong.failure = 99;
    CHECK_ERROR(primacy_request_complete(request, &wrong, &error), PRIMACY_E_ARGUMENT);
    wrong = *right;
    wrong.failure = PRIMACY_FAILURE_REFUSED;
    wrong.message = "\xff\xfe";
    CHECK_ERROR(primacy_request_complete(request, &wrong, &error), PRIMACY_E_UTF8);
    if (right->revision == 0 || right->failure != 0)
        return;
    wrong = *right;
    wrong.raft_term = 0;
    CHECK_ERROR(primacy_request_complete(request, &wrong, &error), PRIMACY_E_ARGUMENT);
    wrong = *right;
    wrong.found_count = right->found_count + 1;
    wrong.found = NULL;
    CHECK_ERROR(primacy_request_complete(request, &wrong, &error), PRIMACY_E_NULL);
    wrong.found_count = SIZE_MAX;
    CHECK_ERROR(primacy_request_complete(request, &wrong, &error), PRIMACY_E_ARGUMENT);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        wrong.found = &bad[i];
        wrong.found_count = 1;
        CHECK_ERROR(primacy_request_complete(request, &wrong, &error), why[i]);
    }
    if (right->found_count > 0) {
        wrong.found_count = 0;
        CHECK_ERROR(primacy_request_complete(request, &wrong, &error), PRIMACY_E_ARGUMENT);
    }
}

static void complete(const struct answer *answer) {
    const bool hostile = store.hostile && store.manner == AT_ONCE;
    if (hostile)
        answer_wrong(&answer->answer);
    primacy_status status = primacy_request_complete(answer->request, &answer->answer, NULL);
    CHECK(status == PRIMACY_OK || (!hostile && status == PRIMACY_E_HANDLE)); /* its time may be over */
    CHECK_EQUAL(primacy_request_complete(answer->request, &answer->answer, NULL), PRIMACY_E_HANDLE);
}

static void *deliver(void *answer) {
    complete(answer);
    free(answer);
    return NULL;
}

static void give(struct answer *answer) {
    pthread_t thread;
    store.asked++;
    store.last = answer->request;
    switch (store.manner) {
    case AT_ONCE:
        deliver(answer);
        break;
    case LATER_ON:
        CHECK_EQUAL(pthread_create(&thread, NULL, deliver, answer), 0);
        CHECK_EQUAL(pthread_detach(thread), 0);
        break;
    case NEVER:
        free(answer);
    }
}

static struct answer *new_answer(primacy_request request) {
    struct answer *answer = calloc(1, sizeof *answer);
    CHECK(answer != NULL);
    answer->request = request;
    answer->answer = (primacy_answer){.struct_size = sizeof answer->answer,
                                      .cluster_id = 7,
                                      .raft_term = store.term,
                                      .found = answer->found};
    return answer;
}

static void on_grant(void *user_data, primacy_request request, int64_t lease, int64_t ttl_s, uint64_t timeout_ms) {
    struct answer *answer = new_answer(request);
    CHECK(user_data == &store && lease > 0 && ttl_s > 0 && timeout_ms > 0);
    pthread_mutex_lock(&store.lock);
    answer->answer.ttl_s = ttl_s;
    if (lease_of(lease) != NULL)
        answer->answer.failure = PRIMACY_FAILURE_LEASE_EXISTS;
    else
        *lease_of(0) = lease;
    pthread_mutex_unlock(&store.lock);
    store.granted++;
    give(answer);
}

static void on_keep_alive(void *user_data, primacy_request request, int64_t lease, uint64_t timeout_ms) {
    struct answer *answer = new_answer(request);
    CHECK(user_data == &store && timeout_ms > 0);
    pthread_mutex_lock(&store.lock);
    answer->answer.ttl_s = lease_of(lease) == NULL ? 0 : 2;
    pthread_mutex_unlock(&store.lock);
    give(answer);
}

static void end_lease(int64_t lease) {
    *lease_of(lease) = 0;
    store.revision++;
    for (size_t i = 0; i < KEYS; i++)
        if (store.keys[i].version != 0 && store.keys[i].lease == lease)
            delete(&store.keys[i]);
}

static void on_revoke(void *user_data, primacy_request request, int64_t lease, uint64_t timeout_ms) {
    struct answer *answer = new_answer(request);
    CHECK(user_data == &store && timeout_ms > 0);
    pthread_mutex_lock(&store.lock);
    if (lease_of(lease) == NULL)
        answer->answer.failure = PRIMACY_FAILURE_LEASE_NOT_FOUND;
    else
        end_lease(lease);
    pthread_mutex_unlock(&store.lock);
    give(answer);
}

static void on_txn(void *user_data, primacy_request request, const primacy_store_txn *txn, uint64_t timeout_ms) {
    struct answer *answer = new_answer(request);
    CHECK(user_data == &store && txn->struct_size == sizeof *txn && timeout_ms > 0);
    pthread_mutex_lock(&store.lock);
    answer->answer.succeeded = 1;
    for (size_t i = 0; i < txn->compares_count; i++)
        if (!holds(&txn->compares[i]))
            answer->answer.succeeded = 0;
    const primacy_op *ops = answer->answer.succeeded ? txn->then : txn->otherwise;
    const size_t count = answer->answer.succeeded ? txn->then_count : txn->otherwise_count;
    for (size_t i = 0; i < count; i++)
        if (ops[i].kind == PRIMACY_OP_PUT && ops[i].lease != 0 && lease_of(ops[i].lease) == NULL)
            answer->answer.failure = PRIMACY_FAILURE_LEASE_NOT_FOUND;
    bool written = false;
    for (size_t i = 0; i < count && answer->answer.failure == 0; i++) {
        if (ops[i].kind != PRIMACY_OP_GET && !written)
            store.revision += written = true;
        if (ops[i].kind == PRIMACY_OP_GET)
            get(answer, &ops[i].range);
        else if (ops[i].kind == PRIMACY_OP_PUT)
            put(&ops[i]);
        else
            for (size_t j = 0; j < KEYS; j++)
                if (store.keys[j].version != 0 && within(&store.keys[j].key, &ops[i].range))
                    delete(&store.keys[j]);
    }
    answer->answer.revision = store.revision;
    pthread_mutex_unlock(&store.lock);
    give(answer);
}

static void on_watch(void *user_data, primacy_watch watch, const primacy_range *ranges, size_t count) {
    CHECK(user_data == &store && count <= RANGES);
    pthread_mutex_lock(&store.lock);
    struct watched *to = store.watches;
    while (to->watch != 0)
        CHECK(++to < store.watches + WATCHES);
    to->watch = watch;
    to->ranges = count;
    for (size_t i = 0; i < count; i++) {
        set(&to->from[i], ranges[i].key, ranges[i].key_size);
        set(&to->end[i], ranges[i].end, ranges[i].end == NULL ? 0 : ranges[i].end_size);
    }
    pthread_mutex_unlock(&store.lock);
    if (store.hostile) {
        const primacy_key_value foreign = {
            .struct_size = sizeof foreign, .key = "elsewhere", .key_size = 9, .mod_revision = 1};
        CHECK_ERROR(primacy_watch_events(watch, NULL, 1, &error), PRIMACY_E_NULL);
        CHECK_ERROR(primacy_watch_events(watch, &foreign, SIZE_MAX, &error), PRIMACY_E_ARGUMENT);
        CHECK_ERROR(primacy_watch_events(watch, &foreign, 1, &error), PRIMACY_OK);
        CHECK_ERROR(primacy_watch_events(watch, NULL, 0, &error), PRIMACY_OK);
        CHECK_EQUAL(primacy_watch_ended(watch, "\xff\xfe"), PRIMACY_E_UTF8);
        CHECK_OK(primacy_watch_confirmed(watch));
    }
    if (store.manner != NEVER)
        CHECK_OK(primacy_watch_confirmed(watch));
}

static void on_unwatch(void *user_data, primacy_watch watch) {
    CHECK(user_data == &store);
    CHECK_EQUAL(primacy_watch_confirmed(watch), PRIMACY_E_HANDLE);
    CHECK_EQUAL(primacy_watch_events(watch, NULL, 0, NULL), PRIMACY_E_HANDLE);
    CHECK_EQUAL(primacy_watch_ended(watch, NULL), PRIMACY_E_HANDLE);
    pthread_mutex_lock(&store.lock);
    for (size_t i = 0; i < WATCHES; i++)
        if (store.watches[i].watch == watch)
            store.watches[i].watch = 0;
    pthread_mutex_unlock(&store.lock);
    store.unwatched++;
}

static void on_store_stopped(void *user_data) {
    CHECK(user_data == &store);
    store.stopped++;
}

static const primacy_store lent = {
    .struct_size = sizeof lent,
    .grant = on_grant,
    .keep_alive = on_keep_alive,
    .revoke = on_revoke,
    .txn = on_txn,
    .watch = on_watch,
    .unwatch = on_unwatch,
    .on_stopped = on_store_stopped,
};

/* ---- the host ---- */

struct host {
    atomic_int primary, lost, reason;
    _Atomic int64_t token;
};

static int32_t on_primary(void *user_data, const primacy_call *call) {
    struct host *host = user_data;
    host->token = call->token;
    host->primary++;
    return PRIMACY_DONE;
}

static int32_t on_lost(void *user_data, const primacy_call *call) {
    struct host *host = user_data;
    host->reason = call->reason;
    host->lost++;
    return PRIMACY_DONE;
}

static const primacy_callbacks callbacks = {
    .struct_size = sizeof callbacks, .on_primary = on_primary, .on_lost = on_lost};
static const primacy_candidate candidate = {
    .struct_size = sizeof candidate, .address = "10.0.0.7:1", .version = "1.0.0"};

/* How many sockets this process has. */
static int sockets(void) {
    char path[64], target[64];
    int found = 0;
    for (int fd = 0; fd < 1024; fd++) {
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        ssize_t size = readlink(path, target, sizeof target - 1);
        found += size > 0 && strncmp(target, "socket:", 7) == 0;
    }
    return found;
}

static primacy_config new_config(void) {
    primacy_config config;
    CHECK_OK(primacy_config_new(&config));
    CHECK_OK(primacy_config_set(config, "common.session.ttl", "2", NULL));
    CHECK_OK(primacy_config_set(config, "etcd.requestTimeout", "2000", NULL));
    /* Nobody is there: it would not open. */
    CHECK_OK(primacy_config_set(config, "etcd.endpoints", "127.0.0.1:1", NULL));
    CHECK_ERROR(primacy_config_set_store(config, &lent, &store, &error), PRIMACY_OK);
    return config;
}

static primacy_session open_session(primacy_config config) {
    primacy_session session;
    CHECK_ERROR(primacy_session_open(config, &candidate, &session, &error), PRIMACY_OK);
    return session;
}

static primacy_election campaign(primacy_session session, struct host *host) {
    primacy_election election;
    CHECK_ERROR(primacy_session_register(session, "rootcoord", &callbacks, host, &election, &error), PRIMACY_OK);
    CHECK_OK(primacy_election_campaign(election));
    return election;
}

static void a_standby_takes_over_on_a_store_that_the_host_lends(enum manner manner, bool hostile) {
    struct host one = {0}, two = {0};
    const int stopped = store.stopped, before = sockets();
    store.manner = manner;
    store.hostile = hostile;
    primacy_config config = new_config();
    primacy_session sessions[2] = {open_session(config), open_session(config)};
    primacy_observer observer;
    primacy_primary primary = {.struct_size = sizeof primary};
    primacy_txn txn;
    primacy_result result;
    size_t count;

    primacy_election elections[2] = {campaign(sessions[0], &one)};
    AWAIT(one.primary == 1);
    elections[1] = campaign(sessions[1], &two);
    CHECK_ERROR(primacy_observer_open(config, "rootcoord", NULL, NULL, &observer, &error), PRIMACY_OK);
    CHECK_OK(primacy_observer_wait_ready(observer, 15000, &primary));
    CHECK_EQUAL(primary.token, one.token);
    CHECK_EQUAL(sockets(), before);

    CHECK_OK(primacy_txn_new(&txn));
    CHECK_OK(primacy_txn_put(txn, "host/key", 8, "", 0));
    CHECK_ERROR(primacy_election_commit(elections[0], one.token, txn, 15000, NULL, &error), PRIMACY_OK);
    CHECK_OK(primacy_txn_free(txn));
    CHECK_OK(primacy_txn_new(&txn));
    CHECK_OK(primacy_txn_get_prefix(txn, "host/", 5));
    CHECK_ERROR(primacy_session_read(sessions[1], txn, 15000, &result, &error), PRIMACY_OK);
    CHECK_OK(primacy_result_count(result, 0, &count));
    CHECK_EQUAL(count, 1);
    CHECK_OK(primacy_result_free(result));
    CHECK_OK(primacy_txn_free(txn));

    /* Longer than its TTL: it is renewed. */
    const int asked = store.asked;
    AWAIT(store.asked > asked + 8);
    CHECK_EQUAL(one.lost, 0);

    CHECK_OK(primacy_session_free(sessions[0]));
    AWAIT(two.primary == 1);
    CHECK(one.lost == 1 && one.reason == PRIMACY_LOST_STOPPED && two.token > one.token);
    CHECK_OK(primacy_observer_wait(observer, one.token, 15000, &primary));
    CHECK_OK(primacy_session_free(sessions[1]));
    CHECK_OK(primacy_observer_free(observer));
    CHECK_EQUAL(store.stopped, stopped);
    CHECK_OK(primacy_config_free(config));
    for (int i = 0; i < 2; i++)
        CHECK_OK(primacy_election_free(elections[i]));
    AWAIT(store.stopped == stopped + 1);
    for (size_t i = 0; i < WATCHES; i++)
        CHECK_EQUAL(store.watches[i].watch, 0);
    AWAIT(threads() == 1);
    store.hostile = false;
}

static void a_lease_that_the_store_has_ended_is_lost(void) {
    struct host host = {0};
    store.manner = AT_ONCE;
    primacy_config config = new_config();
    primacy_session session = open_session(config);
    primacy_election election = campaign(session, &host);
    AWAIT(host.primary == 1);
    pthread_mutex_lock(&store.lock);
    for (size_t i = 0; i < LEASES; i++)
        if (store.leases[i] != 0)
            end_lease(store.leases[i]);
    pthread_mutex_unlock(&store.lock);
    AWAIT(host.lost == 1 && host.primary == 2);

    /* It answers no more. */
    store.manner = NEVER;
    AWAIT(host.lost == 2);
    CHECK_EQUAL(host.reason, PRIMACY_LOST_LEASE_EXPIRED);
    CHECK_EQUAL(primacy_election_is_primary(election, NULL, NULL), 0);
    const primacy_request late = store.last;
    store.manner = AT_ONCE;
    AWAIT(host.primary == 3);
    AWAIT(primacy_request_complete(late, NULL, NULL) == PRIMACY_E_HANDLE); /* its time is over */
    const primacy_answer answer = {.struct_size = sizeof answer, .failure = PRIMACY_FAILURE_REFUSED};
    CHECK_ERROR(primacy_request_complete(late, &answer, &error), PRIMACY_E_HANDLE);

    /* A watch that ends is replaced. */
    pthread_mutex_lock(&store.lock);
    for (size_t i = 0; i < WATCHES; i++)
        if (store.watches[i].watch != 0) {
            CHECK_OK(primacy_watch_ended(store.watches[i].watch, NULL));
            CHECK_EQUAL(primacy_watch_ended(store.watches[i].watch, NULL), PRIMACY_E_HANDLE);
            store.watches[i].watch = 0;
        }
    store.revision++;
    for (size_t i = 0; i < KEYS; i++)
        if (store.keys[i].modified == host.token)
            delete(&store.keys[i]);
    pthread_mutex_unlock(&store.lock);
    AWAIT(host.lost == 3 && host.primary == 4);

    CHECK_OK(primacy_session_free(session));
    CHECK_OK(primacy_election_free(election));
    CHECK_OK(primacy_config_free(config));
    AWAIT(threads() == 1);
    CHECK_ERROR(primacy_request_complete(store.last, &answer, &error), PRIMACY_E_HANDLE);
}

static void a_store_that_never_answers_opens_nothing(void) {
    primacy_session session = 1;
    primacy_observer observer = 1;
    const int stopped = store.stopped;
    store.manner = NEVER;
    primacy_config config = new_config();
    CHECK_OK(primacy_config_set(config, "etcd.requestTimeout", "200", NULL));
    CHECK_ERROR(primacy_session_open(config, &candidate, &session, &error), PRIMACY_E_UNREACHABLE);
    CHECK_ERROR(primacy_observer_open(config, "rootcoord", NULL, NULL, &observer, &error), PRIMACY_E_UNREACHABLE);
    CHECK(session == 0 && observer == 0);
    CHECK_OK(primacy_config_free(config));
    AWAIT(store.stopped == stopped + 1);
    AWAIT(threads() == 1);
}

int main(void) {
    const int before = descriptors();
    a_standby_takes_over_on_a_store_that_the_host_lends(AT_ONCE, false);
    a_standby_takes_over_on_a_store_that_the_host_lends(AT_ONCE, true);
    a_standby_takes_over_on_a_store_that_the_host_lends(LATER_ON, false);
    a_lease_that_the_store_has_ended_is_lost();
    a_store_that_never_answers_opens_nothing();
    AWAIT(descriptors() == before);
    return 0;
}
