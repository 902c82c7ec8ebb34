/* Sessions, elections and observers as a host in C lives with them, on a real etcd.
 *
 *     elections ENDPOINT
 */
#define _GNU_SOURCE
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/wait.h>
#include <unistd.h>

#include "every_call.h"

#include "process.h"

enum { TTL_S = 5, WITHIN_MS = 15000 };

static const char *endpoint;
static char root[64];

/* ---- a host that keeps count ---- */

struct host {
    atomic_int standby, warmup, primary, lost, cancelled, ready, stopped;
    atomic_int inside;          /* calls that are running */
    atomic_int reason;          /* of the last on_lost */
    _Atomic int64_t token;      /* of the last on_primary */
    _Atomic int64_t holder;     /* of the last on_standby */
    _Atomic uint64_t call;      /* the last call */
    atomic_int primary_answers; /* what on_primary answers */
    atomic_int lost_answers;
    atomic_int warmup_answers;
    atomic_bool hold;           /* on_primary and on_lost do not return while this is set */
    /* Further things to do inside; each may be NULL. */
    void (*in_primary)(struct host *host, const primacy_call *call);
    void (*in_lost)(struct host *host, const primacy_call *call);
    void (*in_notice)(struct host *host, const primacy_notice *notice);
    primacy_session session;
    primacy_election election;
};

static void wait_while_held(struct host *host) {
    struct timespec pause = {0, 1000000};
    while (host->hold)
        nanosleep(&pause, NULL);
}

static void check_call(struct host *host, const primacy_call *call, int32_t kind) {
    CHECK_EQUAL(host->stopped, 0); /* on_stopped was the last use of the host */
    CHECK_EQUAL(call->struct_size, sizeof *call);
    CHECK_EQUAL(call->kind, kind);
    CHECK_EQUAL(call->election, host->election);
    CHECK(strcmp(call->role, "rootcoord") == 0);
    CHECK(call->call != 0);
    host->call = call->call;
}

static int32_t on_standby(void *user_data, const primacy_call *call) {
    struct host *host = user_data;
    check_call(host, call, PRIMACY_CALL_STANDBY);
    host->holder = call->holder_id;
    host->standby++;
    return PRIMACY_DONE;
}

static int32_t on_warmup(void *user_data, const primacy_call *call) {
    struct host *host = user_data;
    check_call(host, call, PRIMACY_CALL_WARMUP);
    host->warmup++;
    return host->warmup_answers;
}

static int32_t on_primary(void *user_data, const primacy_call *call) {
    struct host *host = user_data;
    check_call(host, call, PRIMACY_CALL_PRIMARY);
    CHECK(call->token > host->token);
    CHECK(call->lease != 0);
    CHECK_EQUAL(host->primary, host->lost); /* one lost per primary, before the next */
    host->inside++;
    host->token = call->token;
    host->primary++;
    if (host->in_primary != NULL)
        host->in_primary(host, call);
    wait_while_held(host);
    host->inside--;
    return host->primary_answers;
}

static int32_t on_lost(void *user_data, const primacy_call *call) {
    struct host *host = user_data;
    check_call(host, call, PRIMACY_CALL_LOST);
    CHECK_EQUAL(call->token, host->token);
    CHECK_EQUAL(host->lost + 1, host->primary);
    CHECK_EQUAL(primacy_election_is_primary(call->election, NULL, NULL), 0);
    host->reason = call->reason;
    host->lost++;
    if (host->in_lost != NULL)
        host->in_lost(host, call);
    wait_while_held(host);
    return host->lost_answers;
}

static void on_cancelled(void *user_data, uint64_t call) {
    struct host *host = user_data;
    CHECK(call != 0);
    host->cancelled++;
}

static void on_notice(void *user_data, const primacy_notice *notice) {
    struct host *host = user_data;
    CHECK_EQUAL(notice->struct_size, sizeof *notice);
    CHECK_EQUAL(host->stopped, 0);
    if (host->in_notice != NULL)
        host->in_notice(host, notice);
    if (notice->kind == PRIMACY_NOTICE_READY) {
        CHECK_EQUAL(notice->token, host->token);
        host->ready++;
    }
}

static void on_stopped(void *user_data) {
    ((struct host *)user_data)->stopped++;
}

static const primacy_callbacks callbacks = {
    .struct_size = sizeof callbacks,
    .on_standby = on_standby,
    .on_warmup = on_warmup,
    .on_primary = on_primary,
    .on_lost = on_lost,
    .on_cancelled = on_cancelled,
    .on_notice = on_notice,
    .on_stopped = on_stopped,
};

static primacy_config new_config(void) {
    primacy_config config;
    char ttl[16];
    snprintf(ttl, sizeof ttl, "%d", TTL_S);
    CHECK_OK(primacy_config_new(&config));
    CHECK_ERROR(primacy_config_set(config, "etcd.endpoints", endpoint, &error), PRIMACY_OK);
    CHECK_ERROR(primacy_config_set(config, "etcd.rootPath", root, &error), PRIMACY_OK);
    CHECK_ERROR(primacy_config_set(config, "common.session.ttl", ttl, &error), PRIMACY_OK);
    CHECK_ERROR(primacy_config_set(config, "primacy.warmup_interval_ms", "20", &error), PRIMACY_OK);
    CHECK_ERROR(primacy_config_set(config, "primacy.drain_timeout_ms", "3000", &error), PRIMACY_OK);
    return config;
}

static primacy_session open_session(void) {
    const primacy_candidate candidate = {
        .struct_size = sizeof candidate, .address = "127.0.0.1:53100", .version = "1.0.0"};
    primacy_config config = new_config();
    primacy_session session;
    CHECK_ERROR(primacy_session_open(config, &candidate, &session, &error), PRIMACY_OK);
    CHECK_OK(primacy_config_free(config));
    return session;
}

/* A session of its own that campaigns for rootcoord. */
static void start(struct host *host) {
    host->session = open_session();
    primacy_election *election = &host->election;
    CHECK_ERROR(primacy_session_register(host->session, "rootcoord", &callbacks, host, election, &error),
                PRIMACY_OK);
    CHECK_OK(primacy_election_campaign(host->election));
}

static void become_primary(struct host *host) {
    start(host);
    AWAIT(host->primary == 1);
}

/* Ends it in good order. */
static void end(struct host *host) {
    CHECK_OK(primacy_session_close(host->session, WITHIN_MS, 0, NULL));
    CHECK_EQUAL(host->stopped, 1);
    CHECK_EQUAL(host->primary, host->lost);
    CHECK_OK(primacy_session_free(host->session));
    CHECK_OK(primacy_election_free(host->election));
    CHECK_EQUAL(primacy_session_free(host->session), PRIMACY_E_HANDLE);
    CHECK_EQUAL(primacy_election_free(host->election), PRIMACY_E_HANDLE);
    primacy_status status = PRIMACY_OK;
    CHECK_EQUAL(primacy_election_is_primary(host->election, NULL, &status), 0);
    CHECK_EQUAL(status, PRIMACY_E_HANDLE);
}

/* ---- the cases ---- */

static void nothing_happens_before_campaign(void) {
    struct host host = {0};
    host.session = open_session();
    int64_t id = 0;
    CHECK_OK(primacy_session_server_id(host.session, &id));
    CHECK(id > 0);
    CHECK_OK(primacy_session_register(host.session, "rootcoord", &callbacks, &host, &host.election, NULL));
    primacy_status status = -1;
    CHECK_EQUAL(primacy_election_is_primary(host.election, NULL, &status), 0);
    CHECK_OK(status);
    CHECK_EQUAL(primacy_election_join(host.election, 0), PRIMACY_E_TIMEOUT);
    end(&host);
    CHECK_EQUAL(host.primary + host.standby + host.warmup, 0);
}

static void the_primary_writes_under_its_token(void) {
    struct host host = {0};
    become_primary(&host);
    int64_t token = 0, revision = 0;
    primacy_status status = -1;
    CHECK_EQUAL(primacy_election_is_primary(host.election, &token, &status), 1);
    CHECK_OK(status);
    CHECK_EQUAL(token, host.token);
    uint64_t remaining = primacy_election_remaining_ms(host.election, NULL);
    CHECK(remaining > 0 && remaining <= TTL_S * 1000);

    /* What a client of one's own compares: the lock, at the win, on the win's lease. */
    primacy_result guard = 1;
    primacy_key_value lock = {.struct_size = sizeof lock};
    primacy_session_state session = {.struct_size = sizeof session};
    size_t keys = 0;
    CHECK_EQUAL(primacy_election_guard(host.election, token - 1, &guard), PRIMACY_E_NOT_PRIMARY);
    CHECK_EQUAL(guard, 0);
    CHECK_EQUAL(primacy_election_guard(host.election, token, NULL), PRIMACY_E_NULL);
    CHECK_OK(primacy_election_guard(host.election, token, &guard));
    CHECK_OK(primacy_result_count(guard, 0, &keys));
    CHECK_EQUAL(keys, 1);
    CHECK_OK(primacy_result_key_value(guard, 0, 0, &lock));
    CHECK(lock.key_size > 10 && memcmp(lock.key + lock.key_size - 10, "/rootcoord", 10) == 0);
    CHECK_EQUAL(lock.mod_revision, token);
    CHECK_OK(primacy_session_snapshot(host.session, &session));
    CHECK_EQUAL(lock.lease, session.lease);
    CHECK_OK(primacy_result_free(guard));

    char key[160], prefix[128];
    snprintf(prefix, sizeof prefix, "%s/c-tests/", root);
    snprintf(key, sizeof key, "%skey", prefix);
    primacy_txn txn, read, other;
    primacy_result result;
    primacy_key_value kv = {.struct_size = sizeof kv};
    size_t count = 9;

    CHECK_OK(primacy_txn_new(&txn));
    CHECK_OK(primacy_txn_compare_absent(txn, key, strlen(key)));
    CHECK_OK(primacy_txn_put(txn, key, strlen(key), "a\0b", 3));
    CHECK_OK(primacy_txn_get(txn, key, strlen(key)));
    CHECK_ERROR(primacy_election_commit(host.election, token, txn, WITHIN_MS, &result, &error), PRIMACY_OK);
    CHECK_OK(primacy_result_revision(result, &revision));
    CHECK(revision > token);
    CHECK_OK(primacy_result_count(result, 0, &count));
    CHECK_EQUAL(count, 1);
    CHECK_EQUAL(primacy_result_count(result, 1, &count), PRIMACY_E_ARGUMENT);
    CHECK_EQUAL(primacy_result_key_value(result, 0, 1, &kv), PRIMACY_E_ARGUMENT);
    CHECK_OK(primacy_result_key_value(result, 0, 0, &kv));
    CHECK(kv.key_size == strlen(key) && memcmp(kv.key, key, kv.key_size) == 0);
    CHECK(kv.value_size == 3 && memcmp(kv.value, "a\0b", 3) == 0);
    CHECK_EQUAL(kv.mod_revision, revision);
    CHECK_EQUAL(kv.create_revision, revision);
    CHECK_EQUAL(kv.version, 1);
    CHECK_EQUAL(kv.lease, 0);
    CHECK_OK(primacy_result_free(result));
    CHECK_EQUAL(primacy_result_free(result), PRIMACY_E_HANDLE);

    /* Again: now the key is there. Nothing is written, and the get shows why. */
    CHECK_ERROR(primacy_election_commit(host.election, token, txn, WITHIN_MS, &result, &error),
                PRIMACY_E_CONFLICT);
    CHECK_OK(primacy_result_key_value(result, 0, 0, &kv));
    CHECK_EQUAL(kv.mod_revision, revision);
    CHECK_OK(primacy_result_free(result));
    CHECK_EQUAL(primacy_election_commit(host.election, token, txn, WITHIN_MS, NULL, NULL),
                PRIMACY_E_CONFLICT);

    /* Under another token than that of this win: refused, and no result. */
    result = 1;
    CHECK_ERROR(
        primacy_election_commit(host.election, token - 1, txn, WITHIN_MS, &result, &error),
        PRIMACY_E_NOT_PRIMARY);
    CHECK_EQUAL(result, 0);
    CHECK_EQUAL(primacy_election_commit(host.election, 0, txn, WITHIN_MS, NULL, NULL), PRIMACY_E_NOT_PRIMARY);
    CHECK_EQUAL(primacy_election_commit(host.election, token, txn, 0, NULL, NULL), PRIMACY_E_ARGUMENT);
    CHECK_EQUAL(primacy_election_commit(host.election, token, host.election, 9, NULL, NULL),
                PRIMACY_E_HANDLE);

    /* The lock is the library's. */
    CHECK_OK(primacy_txn_new(&other));
    snprintf(prefix, sizeof prefix, "%s/meta/session/rootcoord", root);
    CHECK_OK(primacy_txn_delete(other, prefix, strlen(prefix)));
    CHECK_ERROR(primacy_election_commit(host.election, token, other, WITHIN_MS, NULL, &error), PRIMACY_E_ARGUMENT);
    CHECK_OK(primacy_txn_free(other));

    /* Each comparison, where it holds. */
    CHECK_OK(primacy_txn_new(&other));
    CHECK_OK(primacy_txn_compare_mod_revision(other, key, strlen(key), revision));
    CHECK_OK(primacy_txn_compare_version(other, key, strlen(key), 1));
    CHECK_OK(primacy_txn_compare_value(other, key, strlen(key), "a\0b", 3));
    CHECK_OK(primacy_txn_delete(other, key, strlen(key)));
    CHECK_OK(primacy_election_commit(host.election, token, other, WITHIN_MS, NULL, NULL));
    CHECK_EQUAL(primacy_election_commit(host.election, token, other, WITHIN_MS, NULL, NULL),
                PRIMACY_E_CONFLICT);

    /* A read on its own. */
    CHECK_OK(primacy_txn_new(&read));
    CHECK_EQUAL(primacy_session_read(host.session, read, WITHIN_MS, &result, NULL), PRIMACY_E_ARGUMENT);
    CHECK_OK(primacy_txn_get(read, key, strlen(key)));
    CHECK_OK(primacy_txn_get_prefix(read, root, strlen(root)));
    CHECK_ERROR(primacy_session_read(host.session, read, WITHIN_MS, &result, &error), PRIMACY_OK);
    CHECK_OK(primacy_result_count(result, 0, &count));
    CHECK_EQUAL(count, 0);
    CHECK_OK(primacy_result_count(result, 1, &count));
    CHECK(count >= 3); /* id, candidate, lock */
    CHECK_OK(primacy_result_free(result));
    CHECK_ERROR(primacy_session_read(host.session, txn, WITHIN_MS, &result, &error), PRIMACY_E_ARGUMENT);
    CHECK_EQUAL(result, 0);

    char *json = NULL;
    CHECK_ERROR(primacy_session_snapshot_json(host.session, &json, &error), PRIMACY_OK);
    CHECK(json[0] == '{' && strstr(json, "\"rootcoord\"") != NULL && strchr(json, '\n') == NULL);
    primacy_string_free(json);
    CHECK_ERROR(primacy_session_health_json(host.session, &json, &error), PRIMACY_OK);
    CHECK(strstr(json, "\"ready\":{\"ok\":true,\"why\":\"\"}") != NULL && strstr(json, "\"roles\":{\"rootcoord\"") != NULL);
    primacy_string_free(json);

    CHECK_OK(primacy_txn_free(txn));
    CHECK_OK(primacy_txn_free(other));
    CHECK_OK(primacy_txn_free(read));
    end(&host);
    CHECK_EQUAL(host.reason, PRIMACY_LOST_STOPPED);
}

/* What came of what was started. */
struct outcome {
    atomic_int told;
    primacy_status status;
    primacy_result result;
    primacy_error *error;
};

static void on_result(void *user_data, primacy_status status, primacy_result result, primacy_error *error) {
    struct outcome *outcome = user_data;
    CHECK_EQUAL(primacy_session_read(1, 1, 10, &result, NULL), PRIMACY_E_DEADLOCK); /* it must not block */
    outcome->status = status, outcome->error = error;
    outcome->told++;
}

static void on_result_kept(void *user_data, primacy_status status, primacy_result result, primacy_error *error) {
    struct outcome *outcome = user_data;
    outcome->status = status, outcome->result = result, outcome->error = error;
    outcome->told++;
}

static void what_is_started_is_told_once(void) {
    struct host host = {0};
    become_primary(&host);
    const char *key = "c-tests/started";
    primacy_txn txn;
    CHECK_OK(primacy_txn_new(&txn));
    CHECK_OK(primacy_txn_compare_absent(txn, key, strlen(key)));
    CHECK_OK(primacy_txn_put(txn, key, strlen(key), root, strlen(root)));
    CHECK_OK(primacy_txn_get(txn, key, strlen(key)));

    struct outcome written = {0}, conflict = {0}, late = {0}, read = {0};
    CHECK_OK(primacy_election_start_commit(host.election, host.token, txn, PRIMACY_AS_CONFIGURED, on_result_kept, &written,
                                           NULL));
    AWAIT(written.told);
    CHECK_OK(written.status);
    CHECK(written.result != 0 && written.error == NULL);
    CHECK_OK(primacy_result_free(written.result));

    CHECK_OK(primacy_election_start_commit(host.election, host.token, txn, WITHIN_MS, on_result_kept, &conflict, NULL));
    AWAIT(conflict.told);
    CHECK_EQUAL(conflict.status, PRIMACY_E_CONFLICT);
    primacy_key_value kv = {.struct_size = sizeof kv};
    CHECK_OK(primacy_result_key_value(conflict.result, 0, 0, &kv));
    CHECK(kv.key_size == strlen(key) && kv.version == 1);
    CHECK_OK(primacy_result_free(conflict.result));
    CHECK_EQUAL(primacy_error_status(conflict.error), PRIMACY_E_CONFLICT);
    primacy_error_free(conflict.error);

    CHECK_OK(primacy_election_start_commit(host.election, host.token - 1, txn, WITHIN_MS, on_result, &late, NULL));
    AWAIT(late.told);
    CHECK_EQUAL(late.status, PRIMACY_E_NOT_PRIMARY);
    primacy_error_free(late.error);

    primacy_txn gets;
    CHECK_OK(primacy_txn_new(&gets));
    CHECK_ERROR(primacy_session_start_read(host.session, gets, WITHIN_MS, on_result_kept, &read, &error), PRIMACY_E_ARGUMENT);
    CHECK_OK(primacy_txn_get(gets, key, strlen(key)));
    CHECK_EQUAL(primacy_session_start_read(host.session, gets, 0, on_result_kept, &read, NULL), PRIMACY_E_ARGUMENT);
    CHECK_EQUAL(read.told, 0);
    CHECK_OK(primacy_session_start_read(host.session, gets, PRIMACY_AS_CONFIGURED, on_result_kept, &read, NULL));
    AWAIT(read.told);
    CHECK_OK(read.status);
    CHECK_OK(primacy_result_key_value(read.result, 0, 0, &kv));
    CHECK(kv.value_size == strlen(root) && memcmp(kv.value, root, kv.value_size) == 0);
    CHECK_OK(primacy_result_free(read.result));
    CHECK_OK(primacy_txn_free(gets));
    CHECK_OK(primacy_txn_free(txn));
    end(&host);
    CHECK_EQUAL(written.told + conflict.told + late.told + read.told, 4);
}

static void count(void *user_data) { (*(atomic_int *)user_data)++; }

/* Where it stands is told and not asked for again and again; before it campaigns, too. */
static void a_change_is_told_once(void) {
    atomic_int told = 0, over = 0;
    primacy_session session = open_session();
    primacy_election election;
    primacy_election_state state = {.struct_size = sizeof state};
    CHECK_OK(primacy_session_register(session, "rootcoord", &callbacks, &(struct host){0}, &election, NULL));
    CHECK_OK(primacy_election_snapshot(election, &state)); /* from the first moment on */
    CHECK_OK(primacy_election_watch(election, NULL, count, &over));
    int changes = 0;
    for (; primacy_election_snapshot(election, &state) == PRIMACY_OK && state.record_revision == 0; changes++) {
        CHECK_OK(primacy_election_watch(election, &state, count, &told));
        AWAIT(told == changes + 1);
    }
    /* One that is not any more what was seen is told at once, also to a host that knows less of it. */
    primacy_election_state before = state;
    before.record_revision = 0;
    before.struct_size = offsetof(primacy_election_state, obstacle);
    CHECK_OK(primacy_election_watch(election, &before, count, &told));
    AWAIT(told == changes + 1);
    state.struct_size = before.struct_size;
    CHECK_OK(primacy_election_watch(election, &state, count, &told));
    CHECK_OK(primacy_session_mark_stopping(session));
    AWAIT(told == changes + 2);
    CHECK_EQUAL(over, 0);
    CHECK_OK(primacy_session_close(session, WITHIN_MS, 0, NULL));
    AWAIT(over == 1);
    CHECK_OK(primacy_election_free(election));
    CHECK_OK(primacy_session_free(session));
}

static void a_close_answers_calls_that_nobody_takes(void) {
    primacy_queue queue;
    primacy_election election;
    primacy_event event = {.struct_size = sizeof event};
    CHECK_OK(primacy_queue_new(&queue, NULL));
    primacy_session session = open_session();
    CHECK_OK(primacy_session_register_queued(session, "rootcoord", queue, 1, &election, NULL));
    CHECK_OK(primacy_election_campaign(election));
    do
        CHECK_OK(primacy_queue_next(queue, WITHIN_MS, &event));
    while (event.kind != PRIMACY_EVENT_CALL);
    CHECK_EQUAL(event.detail, PRIMACY_CALL_PRIMARY);
    /* on_lost, which nobody takes, is not waited for; on_primary is at work, so it is. */
    CHECK_ERROR(primacy_session_close(session, 200, 1, &error), PRIMACY_E_TIMEOUT);
    CHECK_OK(primacy_election_complete(election, event.call, PRIMACY_DONE, NULL));
    CHECK_OK(primacy_session_join(session, WITHIN_MS));
    CHECK_OK(primacy_session_close(session, PRIMACY_AS_CONFIGURED, 0, NULL));
    CHECK_OK(primacy_election_close(election, PRIMACY_AS_CONFIGURED, 0, NULL));
    CHECK_OK(primacy_election_free(election));
    CHECK_OK(primacy_session_free(session));
    CHECK_OK(primacy_queue_free(queue));
}

static void a_standby_takes_over_when_the_primary_resigns(void) {
    struct host first = {0}, second = {.warmup_answers = PRIMACY_WARM};
    become_primary(&first);
    start(&second);
    AWAIT(second.standby == 1 && second.warmup > 0);
    int64_t id = 0;
    CHECK_OK(primacy_session_server_id(first.session, &id));
    CHECK_EQUAL(second.holder, id);
    CHECK_OK(primacy_election_resign(second.election)); /* it has nothing to give up */

    CHECK_OK(primacy_election_resign(first.election));
    AWAIT(second.primary == 1 && first.standby == 1);
    CHECK_EQUAL(first.lost, 1);
    CHECK_EQUAL(first.reason, PRIMACY_LOST_RESIGNED);
    CHECK(second.token > first.token);

    primacy_txn late;
    CHECK_OK(primacy_txn_new(&late));
    CHECK_OK(primacy_txn_put(late, root, strlen(root), "late", 4));
    CHECK_EQUAL(primacy_election_commit(first.election, first.token, late, WITHIN_MS, NULL, NULL),
                PRIMACY_E_NOT_PRIMARY);
    CHECK_OK(primacy_txn_free(late));
    end(&first);
    end(&second);
}

static void a_pending_call_is_completed_once(void) {
    struct host host = {.primary_answers = PRIMACY_PENDING};
    become_primary(&host);
    AWAIT(host.inside == 0);
    uint64_t call = host.call;
    CHECK_EQUAL(primacy_election_complete(host.election, call + 1000, PRIMACY_DONE, NULL), PRIMACY_E_CALL);
    CHECK_EQUAL(primacy_election_complete(host.election, call, PRIMACY_PENDING, NULL), PRIMACY_E_ARGUMENT);
    CHECK_EQUAL(primacy_election_complete(host.election, call, 99, NULL), PRIMACY_E_ARGUMENT);
    CHECK_EQUAL(primacy_election_complete(host.election, call, PRIMACY_FAILED, "\xff"), PRIMACY_E_UTF8);
    CHECK_EQUAL(primacy_election_is_cancelled(host.election, call), 0);
    CHECK_EQUAL(primacy_election_is_cancelled(host.election, call + 1000), 1);
    CHECK_EQUAL(host.ready, 0);
    CHECK_OK(primacy_election_complete(host.election, call, PRIMACY_DONE, NULL));
    CHECK_EQUAL(primacy_election_complete(host.election, call, PRIMACY_DONE, NULL), PRIMACY_E_CALL);
    AWAIT(host.ready == 1);
    end(&host);
}

static void complete_before_return(struct host *host, const primacy_call *call) {
    (void)host;
    CHECK_OK(primacy_election_complete(call->election, call->call, PRIMACY_DONE, NULL));
    CHECK_EQUAL(primacy_election_complete(call->election, call->call, PRIMACY_DONE, NULL), PRIMACY_E_CALL);
}

static void a_cancelled_call_says_so_until_it_is_completed(void) {
    struct host host = {.primary_answers = PRIMACY_PENDING};
    become_primary(&host);
    AWAIT(host.inside == 0);
    const uint64_t call = host.call;
    CHECK_EQUAL(primacy_election_is_cancelled(host.election, call), 0);
    CHECK_OK(primacy_election_resign(host.election));
    AWAIT(primacy_election_is_cancelled(host.election, call) == 1);
    AWAIT(host.cancelled == 1);
    CHECK_OK(primacy_election_complete(host.election, call, PRIMACY_DONE, NULL));
    end(&host);
}

static void a_call_may_be_completed_before_it_returns(void) {
    struct host host = {.primary_answers = PRIMACY_PENDING, .in_primary = complete_before_return};
    become_primary(&host);
    AWAIT(host.ready == 1);
    end(&host);
}

static void a_failed_activation_gives_primacy_back(void) {
    const int32_t answers[] = {PRIMACY_FAILED, 99, PRIMACY_PENDING};
    for (int i = 0; i < 3; i++) {
        struct host host = {.primary_answers = answers[i]};
        become_primary(&host);
        if (answers[i] == PRIMACY_PENDING)
            CHECK_OK(primacy_election_complete(host.election, host.call, PRIMACY_FAILED, "no disk"));
        AWAIT(host.lost == 1);
        CHECK_EQUAL(host.reason, PRIMACY_LOST_ACTIVATION_FAILED);
        host.primary_answers = PRIMACY_DONE;
        end(&host);
    }
}

static void wait_inside(struct host *host, const primacy_call *call) {
    CHECK_EQUAL(primacy_session_join(host->session, 100), PRIMACY_E_DEADLOCK);
    CHECK_EQUAL(primacy_election_join(call->election, 100), PRIMACY_E_DEADLOCK);
    CHECK_OK(primacy_election_resign(call->election));
    struct timespec work = {0, 100000000}; /* time enough for a loss that does not wait for this call's end */
    nanosleep(&work, NULL);
    CHECK_EQUAL(host->lost, 0);
}

static void no_call_runs(struct host *host, const primacy_call *call) {
    (void)call;
    CHECK_EQUAL(host->inside, 0);
}

static void a_callback_may_resign_but_not_join(void) {
    struct host host = {.in_primary = wait_inside, .in_lost = no_call_runs};
    start(&host);
    AWAIT(host.lost == 1);
    CHECK_EQUAL(host.reason, PRIMACY_LOST_RESIGNED);
    host.in_primary = NULL;
    end(&host);
}

static void read_inside(struct host *host, const primacy_notice *notice) {
    primacy_txn txn;
    primacy_result result;
    (void)notice;
    CHECK_OK(primacy_txn_new(&txn));
    CHECK_OK(primacy_txn_get(txn, "k", 1));
    CHECK_EQUAL(primacy_session_read(host->session, txn, 100, &result, NULL), PRIMACY_E_DEADLOCK);
    CHECK_OK(primacy_txn_free(txn));
}

static void a_notice_may_not_block(void) {
    struct host host = {.in_notice = read_inside};
    become_primary(&host);
    AWAIT(host.ready == 1);
    end(&host);
}

static void free_inside(struct host *host, const primacy_call *call) {
    CHECK_OK(primacy_session_free(host->session));
    CHECK_EQUAL(primacy_session_stop(host->session, 100), PRIMACY_E_HANDLE);
    CHECK_OK(primacy_election_free(call->election));
    CHECK_EQUAL(primacy_election_free(call->election), PRIMACY_E_HANDLE);
    CHECK_EQUAL(primacy_election_is_primary(call->election, NULL, NULL), 0);
}

static void a_callback_may_free_everything(void) {
    struct host in_primary = {.in_primary = free_inside};
    start(&in_primary);
    AWAIT(in_primary.stopped == 1);
    CHECK_EQUAL(in_primary.lost, 1);

    struct host in_lost = {.in_lost = free_inside};
    become_primary(&in_lost);
    CHECK_OK(primacy_election_resign(in_lost.election));
    AWAIT(in_lost.stopped == 1);
}

static void a_callback_that_hangs_is_reported(void) {
    struct host host = {0};
    become_primary(&host);
    AWAIT(host.ready == 1);
    host.hold = true;
    CHECK_OK(primacy_session_stop(host.session, 300));
    AWAIT(host.lost == 1);
    CHECK_EQUAL(primacy_session_join(host.session, 20), PRIMACY_E_TIMEOUT);
    CHECK_EQUAL(primacy_session_free(host.session), PRIMACY_E_TIMEOUT);
    CHECK_EQUAL(host.stopped, 0);
    CHECK_EQUAL(primacy_election_free(host.election), PRIMACY_E_TIMEOUT);
    host.hold = false;
    AWAIT(host.stopped == 1);
}

static void a_freed_election_can_still_complete_what_is_pending(void) {
    struct host host = {.lost_answers = PRIMACY_PENDING};
    become_primary(&host);
    AWAIT(host.ready == 1);
    CHECK_OK(primacy_election_stop(host.election, 300));
    AWAIT(host.lost == 1);
    CHECK_EQUAL(primacy_election_free(host.election), PRIMACY_E_TIMEOUT);
    CHECK_EQUAL(primacy_election_stop(host.election, 300), PRIMACY_E_HANDLE);
    CHECK_OK(primacy_election_complete(host.election, host.call, PRIMACY_DONE, NULL));
    AWAIT(host.stopped == 1);
    AWAIT(primacy_election_complete(host.election, host.call, PRIMACY_DONE, NULL) == PRIMACY_E_HANDLE);
    CHECK_OK(primacy_session_free(host.session));
}

static void roles_are_refused_by_name(void) {
    struct host host = {0};
    start(&host);
    const char *const refused[] = {"", "id", "version", "a/b", "rootcoord-2"};
    primacy_election election = 1;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        CHECK_ERROR(primacy_session_register(host.session, refused[i], &callbacks, &host, &election, &error),
                    PRIMACY_E_ROLE);
    CHECK_ERROR(primacy_session_register(host.session, "rootcoord", &callbacks, &host, &election, &error),
                PRIMACY_E_ROLE_TAKEN);
    CHECK_ERROR(primacy_session_register(host.session, "mixcoord", &callbacks, &host, &election, &error),
                PRIMACY_E_ROLE_TAKEN);
    CHECK_ERROR(primacy_session_register(host.session, "\xff", &callbacks, &host, &election, &error),
                PRIMACY_E_UTF8);
    CHECK_ERROR(primacy_session_register(host.session, NULL, &callbacks, &host, &election, &error),
                PRIMACY_E_NULL);
    CHECK_ERROR(primacy_session_register(host.session, "x", NULL, &host, &election, &error), PRIMACY_E_NULL);
    CHECK_ERROR(primacy_session_register(host.session, "x", &callbacks, &host, NULL, &error), PRIMACY_E_NULL);
    primacy_callbacks bad = callbacks;
    bad.on_lost = NULL;
    CHECK_ERROR(primacy_session_register(host.session, "x", &bad, &host, &election, &error), PRIMACY_E_NULL);
    bad = callbacks;
    bad.struct_size--;
    CHECK_ERROR(primacy_session_register(host.session, "x", &bad, &host, &election, &error),
                PRIMACY_E_STRUCT_SIZE);
    CHECK_EQUAL(election, 0);

    CHECK_OK(primacy_session_stop(host.session, WITHIN_MS));
    CHECK_OK(primacy_session_join(host.session, WITHIN_MS));
    CHECK_ERROR(primacy_session_register(host.session, "x", &callbacks, &host, &election, &error),
                PRIMACY_E_STOPPED);
    end(&host);
}

/* ---- an event queue ---- */

enum { ELECTION_TAG = 7, OBSERVER_TAG = 8, LOOP_TAG = 9 };

static bool is_readable(int32_t fd) {
    struct pollfd one = {.fd = fd, .events = POLLIN};
    return poll(&one, 1, 0) == 1;
}

/* The next event of this sort; notices and what an observer saw may come at any time. */
static primacy_event next_event(primacy_queue queue, int32_t kind, int32_t detail) {
    primacy_event event = {.struct_size = sizeof event};
    do
        CHECK_OK(primacy_queue_next(queue, WITHIN_MS, &event));
    while ((event.kind != kind || event.detail != detail)
           && (event.kind == PRIMACY_EVENT_OBSERVED || event.kind == PRIMACY_EVENT_NOTICE));
    CHECK_EQUAL(event.kind, kind);
    CHECK_EQUAL(event.detail, detail);
    return event;
}

static void a_queue_carries_what_callbacks_would_be_told(void) {
    primacy_queue queue;
    primacy_event event = {.struct_size = sizeof event};
    int32_t fd = -1;
    CHECK_ERROR(primacy_queue_new(&queue, &error), PRIMACY_OK);
    CHECK_OK(primacy_queue_fd(queue, &fd));
    CHECK(!is_readable(fd));
    CHECK_EQUAL(primacy_queue_next(queue, 0, &event), PRIMACY_E_TIMEOUT);
    CHECK_OK(primacy_queue_wake(queue, LOOP_TAG));
    CHECK(is_readable(fd));
    event = next_event(queue, PRIMACY_EVENT_WOKEN, 0);
    CHECK_EQUAL(event.tag, LOOP_TAG);
    CHECK(!is_readable(fd));

    primacy_config config = new_config();
    primacy_observer observer;
    primacy_session session = open_session();
    primacy_election election;
    CHECK_ERROR(primacy_session_register_queued(session, "rootcoord", queue, ELECTION_TAG, &election, &error),
                PRIMACY_OK);
    CHECK_OK(primacy_election_campaign(election));
    primacy_event won = next_event(queue, PRIMACY_EVENT_CALL, PRIMACY_CALL_PRIMARY);
    int64_t token = 0;
    CHECK_EQUAL(won.tag, ELECTION_TAG);
    CHECK(won.call != 0 && won.lease != 0);
    CHECK_EQUAL(primacy_election_is_primary(election, &token, NULL), 1);
    CHECK_EQUAL(won.token, token);

    primacy_election_state state = {.struct_size = sizeof state};
    CHECK_OK(primacy_election_snapshot(election, &state));
    CHECK_EQUAL(state.state, PRIMACY_ELECTION_ACTIVATING);
    CHECK_EQUAL(state.token, token);
    CHECK_EQUAL(state.running, 1 << PRIMACY_CALL_PRIMARY);
    CHECK_OK(primacy_election_complete(election, won.call, PRIMACY_DONE, NULL));
    event = next_event(queue, PRIMACY_EVENT_NOTICE, PRIMACY_NOTICE_READY);
    CHECK_EQUAL(event.token, token);

    CHECK_ERROR(primacy_observer_open_queued(config, "rootcoord", queue, OBSERVER_TAG, &observer, &error),
                PRIMACY_OK);
    do
        CHECK_OK(primacy_queue_next(queue, WITHIN_MS, &event));
    while (event.kind != PRIMACY_EVENT_OBSERVED || event.token == 0);
    CHECK_EQUAL(event.tag, OBSERVER_TAG);
    CHECK_EQUAL(event.token, token);
    CHECK(strcmp(event.address, "127.0.0.1:53100") == 0);

    CHECK_OK(primacy_election_resign(election));
    primacy_event lost = next_event(queue, PRIMACY_EVENT_CALL, PRIMACY_CALL_LOST);
    CHECK_EQUAL(lost.reason, PRIMACY_LOST_RESIGNED);
    CHECK_EQUAL(lost.token, token);
    CHECK_OK(primacy_election_stop(election, WITHIN_MS));
    CHECK_OK(primacy_election_complete(election, lost.call, PRIMACY_DONE, NULL));
    do /* on_standby may come between */
        CHECK_OK(primacy_queue_next(queue, WITHIN_MS, &event));
    while (event.kind != PRIMACY_EVENT_STOPPED
           && (event.kind != PRIMACY_EVENT_CALL
               || primacy_election_complete(election, event.call, PRIMACY_DONE, NULL) == PRIMACY_OK));
    CHECK_EQUAL(event.kind, PRIMACY_EVENT_STOPPED);
    CHECK_EQUAL(event.tag, ELECTION_TAG);

    CHECK_OK(primacy_observer_free(observer));
    CHECK_OK(primacy_election_free(election));
    CHECK_OK(primacy_session_free(session));
    CHECK_OK(primacy_config_free(config));
    CHECK_OK(primacy_queue_free(queue));
    CHECK_EQUAL(primacy_queue_next(queue, 0, &event), PRIMACY_E_HANDLE);
    CHECK_EQUAL(primacy_queue_free(queue), PRIMACY_E_HANDLE);
}

static void calls_that_wait_in_a_freed_queue_fail(void) {
    primacy_queue queue;
    primacy_election election;
    primacy_election_state state = {.struct_size = sizeof state};
    int32_t fd;
    CHECK_OK(primacy_queue_new(&queue, NULL));
    CHECK_OK(primacy_queue_fd(queue, &fd));
    primacy_session session = open_session();
    CHECK_OK(primacy_session_register_queued(session, "rootcoord", queue, ELECTION_TAG, &election, NULL));
    CHECK_OK(primacy_election_campaign(election));
    AWAIT(is_readable(fd)); /* on_primary, or a notice before it */
    AWAIT(primacy_election_snapshot(election, &state) == PRIMACY_OK && state.running != 0);
    CHECK_OK(primacy_queue_free(queue));
    CHECK_OK(primacy_session_stop(session, WITHIN_MS));
    CHECK_OK(primacy_session_join(session, WITHIN_MS));
    CHECK_OK(primacy_session_free(session));
    CHECK_OK(primacy_election_free(election));
}

static void it_says_where_it_stands_and_how_it_came_there(void) {
    struct host host = {0};
    become_primary(&host);
    AWAIT(host.ready == 1);
    primacy_session_state session = {.struct_size = sizeof session};
    primacy_election_state election = {.struct_size = sizeof election};
    int64_t id = 0;
    char *text = NULL;
    CHECK_OK(primacy_session_server_id(host.session, &id));
    CHECK_OK(primacy_session_snapshot(host.session, &session));
    CHECK_EQUAL(session.state, PRIMACY_SESSION_OPEN);
    CHECK_EQUAL(session.server_id, id);
    CHECK_EQUAL(session.ttl_ms, TTL_S * 1000);
    CHECK(session.lease != 0 && session.remaining_ms > 0 && session.remaining_ms <= session.ttl_ms);
    CHECK_EQUAL(session.elections, 1);
    CHECK(session.revision >= host.token);
    CHECK(strcmp(session.warnings, "") == 0);
    CHECK_OK(primacy_election_snapshot(host.election, &election));
    CHECK_EQUAL(election.state, PRIMACY_ELECTION_PRIMARY);
    CHECK_EQUAL(election.token, host.token);
    CHECK_EQUAL(election.running, 0);
    CHECK_EQUAL(election.stopping, 0);
    CHECK(election.record_revision > 0);
    CHECK(strcmp(election.trouble, "") == 0);
    CHECK_EQUAL(election.obstacle, 0);
    CHECK_OK(primacy_session_mark_stopping(host.session));
    AWAIT(primacy_election_snapshot(host.election, &election) == PRIMACY_OK && election.stopping == 1);
    CHECK_EQUAL(primacy_election_is_primary(host.election, NULL, NULL), 1);
    election.struct_size = offsetof(primacy_election_state, obstacle); /* a host of before */
    CHECK_OK(primacy_election_snapshot(host.election, &election));
    election.struct_size--;
    CHECK_EQUAL(primacy_election_snapshot(host.election, &election), PRIMACY_E_STRUCT_SIZE);

    CHECK_OK(primacy_election_recording(host.election, &text));
    CHECK(strstr(text, "-> ") != NULL && strstr(text, "on_primary") != NULL);
    primacy_string_free(text);
    CHECK_EQUAL(primacy_election_recording(host.election, NULL), PRIMACY_E_NULL);
    end(&host);
}

/* ---- observers ---- */

struct watcher {
    atomic_int changes, stopped;
    _Atomic int64_t token;
    primacy_observer observer;
};

static void on_change(void *user_data, const primacy_primary *primary) {
    struct watcher *watcher = user_data;
    primacy_primary copy = {.struct_size = sizeof copy};
    CHECK_EQUAL(primary->struct_size, sizeof *primary);
    CHECK_EQUAL(watcher->stopped, 0);
    CHECK_EQUAL(primacy_observer_wait(watcher->observer, primary->token, 100, &copy), PRIMACY_E_DEADLOCK);
    watcher->token = primary->token;
    watcher->changes++;
}

static void on_watcher_stopped(void *user_data) {
    ((struct watcher *)user_data)->stopped++;
}

static atomic_bool waiting;

static void *wait_for_the_end(void *observer) {
    primacy_primary primary = {.struct_size = sizeof primary};
    waiting = true;
    primacy_status status = primacy_observer_wait(*(primacy_observer *)observer, 0, WITHIN_MS, &primary);
    /* The second, if it was freed in the moment before the wait. */
    CHECK(status == PRIMACY_E_STOPPED || status == PRIMACY_E_HANDLE);
    return NULL;
}

static void an_observer_follows_the_primary(void) {
    const primacy_observer_callbacks watching = {
        .struct_size = sizeof watching, .on_change = on_change, .on_stopped = on_watcher_stopped};
    struct watcher watcher = {0};
    struct host host = {0};
    primacy_observer plain;
    primacy_primary primary = {.struct_size = sizeof primary};
    primacy_config config = new_config();
    CHECK_ERROR(primacy_observer_open(config, "rootcoord", NULL, NULL, &plain, &error), PRIMACY_OK);
    CHECK_OK(primacy_observer_current(plain, &primary));
    CHECK_EQUAL(primary.token, 0);
    CHECK_EQUAL(primary.server_id, 0);
    CHECK_EQUAL(primacy_observer_wait(plain, 0, 10, &primary), PRIMACY_E_TIMEOUT);

    become_primary(&host);
    CHECK_OK(primacy_observer_wait(plain, 0, WITHIN_MS, &primary));
    CHECK_EQUAL(primary.token, host.token);
    CHECK(strcmp(primary.address, "127.0.0.1:53100") == 0);
    CHECK_EQUAL(primacy_observer_wait(plain, primary.token, 10, &primary), PRIMACY_E_TIMEOUT);
    CHECK_EQUAL(primary.token, 0);
    CHECK_OK(primacy_observer_open(config, "rootcoord", &watching, &watcher, &watcher.observer, NULL));
    AWAIT(watcher.token == host.token);

    /* A struct shorter than any is refused; a newer, longer one gets zeros behind what is known. */
    struct {
        primacy_primary primary;
        char newer[16];
    } big;
    memset(&big, 1, sizeof big);
    big.primary.struct_size = sizeof big;
    CHECK_OK(primacy_observer_current(plain, &big.primary));
    CHECK_EQUAL(big.primary.token, host.token);
    CHECK_EQUAL(big.primary.struct_size, sizeof big);
    CHECK_EQUAL(big.newer[0] | big.newer[15], 0);
    /* One of a program that does not know of `ready`. */
    memset(&big, 1, sizeof big);
    big.primary.struct_size = offsetof(primacy_primary, ready);
    CHECK_OK(primacy_observer_current(plain, &big.primary));
    CHECK_EQUAL(big.primary.token, host.token);
    CHECK_EQUAL(big.primary.ready, 0x01010101);
    big.primary.struct_size = offsetof(primacy_primary, ready) - 1;
    CHECK_EQUAL(primacy_observer_current(plain, &big.primary), PRIMACY_E_STRUCT_SIZE);
    CHECK_EQUAL(primacy_observer_current(plain, NULL), PRIMACY_E_NULL);

    end(&host);
    CHECK_OK(primacy_observer_wait(plain, host.token, WITHIN_MS, &primary));
    CHECK_EQUAL(primary.token, 0);
    AWAIT(watcher.token == 0);

    pthread_t waiter;
    CHECK_EQUAL(pthread_create(&waiter, NULL, wait_for_the_end, &plain), 0);
    CHECK_OK(primacy_observer_free(watcher.observer));
    AWAIT(watcher.stopped == 1);
    CHECK_EQUAL(primacy_observer_free(watcher.observer), PRIMACY_E_HANDLE);
    AWAIT(waiting);
    CHECK_OK(primacy_observer_free(plain));
    CHECK_EQUAL(pthread_join(waiter, NULL), 0);
    CHECK_OK(primacy_config_free(config));
}

/* What a client does: `request` says whether it was served. Returns the token of who served it. */
static int64_t call_primary(primacy_observer observer, bool (*request)(int64_t token)) {
    primacy_primary primary = {.struct_size = sizeof primary}, other = {.struct_size = sizeof other};
    for (;;) {
        CHECK_OK(primacy_observer_wait_ready(observer, WITHIN_MS, &primary));
        CHECK_EQUAL(primary.ready, 1);
        if (request(primary.token))
            return primary.token;
        primacy_observer_wait(observer, primary.token, 100, &other);
    }
}

static _Atomic int64_t serving; /* under this token */
static atomic_int refused, busy;

static void take_two_seconds(struct host *host, const primacy_call *call) {
    (void)host;
    struct timespec two = {2, 0};
    nanosleep(&two, NULL);
    serving = call->token;
}

static bool request(int64_t token) {
    if (serving == token && busy == 0)
        return true;
    refused++;
    if (busy > 0)
        busy--;
    return false;
}

static void a_client_loses_no_term_of_a_primary_that_takes_two_seconds(void) {
    struct host one = {0}, two = {.in_primary = take_two_seconds};
    primacy_observer observer;
    primacy_config config = new_config();
    become_primary(&one);
    serving = one.token;
    CHECK_OK(primacy_observer_open(config, "rootcoord", NULL, NULL, &observer, NULL));
    CHECK_EQUAL(call_primary(observer, request), one.token);
    start(&two);
    AWAIT(two.warmup > 0);
    end(&one);
    CHECK_EQUAL(call_primary(observer, request), two.token);
    CHECK_EQUAL(refused, 0); /* none was made before it was ready */
    busy = 2;
    CHECK_EQUAL(call_primary(observer, request), two.token); /* the newest is asked again */
    CHECK_EQUAL(refused, 2);
    end(&two);
    CHECK_OK(primacy_observer_free(observer));
    CHECK_OK(primacy_config_free(config));
}

static void a_short_ttl_is_warned_of(void) {
    const primacy_candidate candidate = {
        .struct_size = sizeof candidate, .address = "127.0.0.1:53100", .version = "1.0.0"};
    primacy_session_state state = {.struct_size = sizeof state};
    primacy_config config = new_config();
    primacy_session session;
    CHECK_OK(primacy_config_set(config, "common.session.ttl", "2", NULL));
    CHECK_OK(primacy_session_open(config, &candidate, &session, NULL));
    CHECK_OK(primacy_session_snapshot(session, &state));
    CHECK(strstr(state.warnings, "a TTL of 2 s does not outlast") != NULL);
    CHECK_OK(primacy_session_stop(session, WITHIN_MS));
    CHECK_OK(primacy_session_free(session));
    CHECK_OK(primacy_config_free(config));
}

static void hang_in_change(void *user_data, const primacy_primary *primary) {
    (void)primary;
    struct host *host = user_data;
    host->inside++;
    wait_while_held(host);
    host->inside--;
}

static void an_observer_whose_callback_hangs_is_reported(void) {
    const primacy_observer_callbacks hanging = {
        .struct_size = sizeof hanging, .on_change = hang_in_change, .on_stopped = on_stopped};
    struct host host = {.hold = true};
    primacy_observer observer;
    primacy_config config = new_config();
    CHECK_OK(primacy_config_set(config, "primacy.drain_timeout_ms", "1000", NULL));
    CHECK_OK(primacy_observer_open(config, "rootcoord", &hanging, &host, &observer, NULL));
    AWAIT(host.inside == 1);
    CHECK_EQUAL(primacy_observer_free(observer), PRIMACY_E_TIMEOUT);
    CHECK_EQUAL(primacy_observer_free(observer), PRIMACY_E_HANDLE);
    CHECK_EQUAL(host.stopped, 0);
    host.hold = false;
    AWAIT(host.stopped == 1);
    CHECK_OK(primacy_config_free(config));
}

/* ---- a good guest ---- */

/* Every thread but this one is the library's: born with all that a host may want to catch blocked. */
static void threads_of_the_library_take_no_signals(void) {
    const uint64_t left_open = UINT64_C(1) << (SIGSEGV - 1) | UINT64_C(1) << (SIGBUS - 1)
                               | UINT64_C(1) << (SIGFPE - 1) | UINT64_C(1) << (SIGILL - 1)
                               | UINT64_C(1) << (SIGTRAP - 1) | UINT64_C(1) << (SIGSYS - 1)
                               | UINT64_C(1) << (SIGPROF - 1);
    struct host host = {.hold = true}; /* so that one of its callbacks runs as well */
    become_primary(&host);
    DIR *dir = opendir("/proc/self/task");
    CHECK(dir != NULL);
    int seen = 0;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        char path[300], line[256];
        if (entry->d_name[0] == '.' || atol(entry->d_name) == (long)getpid())
            continue;
        snprintf(path, sizeof path, "/proc/self/task/%s/status", entry->d_name);
        FILE *status = fopen(path, "r");
        if (status == NULL)
            continue; /* it has ended */
        for (uint64_t blocked; fgets(line, sizeof line, status) != NULL;)
            if (sscanf(line, "SigBlk: %" SCNx64, &blocked) == 1) {
                /* Up to 31: the C library keeps the first real-time signals to itself. */
                uint64_t open = ~blocked & UINT64_C(0x7fffffff) & ~left_open;
                CHECK_EQUAL(open & ~(UINT64_C(1) << (SIGKILL - 1) | UINT64_C(1) << (SIGSTOP - 1)), 0);
                seen++;
            }
        fclose(status);
    }
    closedir(dir);
    CHECK(seen >= 2);
    host.hold = false;
    end(&host);
}

static void a_forked_child_is_nobody(void) {
    struct host host = {0};
    become_primary(&host);
    struct things things = {.session = host.session, .election = host.election, .token = host.token};
    things.config = new_config();
    CHECK_OK(primacy_txn_new(&things.txn));
    CHECK_OK(primacy_txn_new(&things.gets));
    CHECK_OK(primacy_txn_get_prefix(things.gets, root, strlen(root)));
    CHECK_OK(primacy_session_read(host.session, things.gets, WITHIN_MS, &things.result, NULL));
    CHECK_OK(primacy_observer_open(things.config, "rootcoord", NULL, NULL, &things.observer, NULL));
    CHECK_OK(primacy_queue_new(&things.queue, NULL));
    pid_t child = fork();
    if (child == 0) {
        int64_t token = 1;
        primacy_status status = PRIMACY_OK;
        primacy_config config = 1;
        primacy_primary primary = {.struct_size = sizeof primary, .token = 1};
        alarm(5); /* whatever hangs fails */
        CHECK_EQUAL(primacy_election_is_primary(host.election, &token, &status), 0);
        CHECK_EQUAL(token, 0);
        CHECK_EQUAL(status, PRIMACY_E_FORKED);
        CHECK_EQUAL(primacy_election_remaining_ms(host.election, NULL), 0);
        CHECK_EQUAL(primacy_election_is_cancelled(host.election, 1), 1);
        CHECK_ERROR(primacy_config_set(1, "a", "b", &error), PRIMACY_E_FORKED);
        CHECK_EQUAL(primacy_config_new(&config), PRIMACY_E_FORKED);
        CHECK_EQUAL(config, 0);
        CHECK_EQUAL(primacy_observer_current(1, &primary), PRIMACY_E_FORKED);
        CHECK_EQUAL(primary.token, 0);
        for (size_t i = 0; i < EVERY_CALL_COUNT; i++) {
            const bool harmless = every_call[i].sort == SAYS || every_call[i].sort == FREES;
            const primacy_status expected = harmless ? PRIMACY_OK : PRIMACY_E_FORKED;
            status = every_call[i].call(&things);
            if (status != expected)
                fprintf(stderr, "in a forked child: %s answers %d\n", every_call[i].name, (int)status);
            CHECK_EQUAL(status, expected);
        }
        execlp("true", "true", (char *)NULL);
        _exit(1);
    }
    int how = -1;
    CHECK_EQUAL(waitpid(child, &how, 0), child);
    CHECK_EQUAL(how, 0);
    CHECK_EQUAL(primacy_election_is_primary(host.election, NULL, NULL), 1);
    CHECK_OK(primacy_config_free(things.config));
    CHECK_OK(primacy_txn_free(things.txn));
    CHECK_OK(primacy_txn_free(things.gets));
    CHECK_OK(primacy_result_free(things.result));
    CHECK_OK(primacy_observer_free(things.observer));
    CHECK_OK(primacy_queue_free(things.queue));
    end(&host);
}

static atomic_int lines, logs_stopped;

static void on_line(void *user_data, int32_t level, const char *text) {
    CHECK(user_data == &lines);
    CHECK(level >= PRIMACY_LOG_ERROR && level <= PRIMACY_LOG_INFO);
    CHECK(strlen(text) > 0);
    primacy_txn txn;
    primacy_result result;
    CHECK_OK(primacy_txn_new(&txn));
    CHECK_EQUAL(primacy_session_read(1, txn, 100, &result, NULL), PRIMACY_E_DEADLOCK);
    CHECK_OK(primacy_txn_free(txn));
    lines++;
}

static void on_log_stopped(void *user_data) {
    CHECK(user_data == &lines);
    logs_stopped++;
}

static void a_log_outlives_what_logs_to_it(void) {
    const primacy_log log = {
        .struct_size = sizeof log,
        .level = PRIMACY_LOG_INFO,
        .on_line = on_line,
        .on_stopped = on_log_stopped,
    };
    const primacy_candidate candidate = {
        .struct_size = sizeof candidate, .address = "127.0.0.1:53100", .version = "1.0.0"};
    struct host host = {0};
    primacy_config config = new_config();
    CHECK_OK(primacy_config_set_log(config, &log, &lines, NULL));
    CHECK_OK(primacy_session_open(config, &candidate, &host.session, NULL));
    CHECK_OK(primacy_config_free(config));
    CHECK_OK(primacy_session_register(host.session, "rootcoord", &callbacks, &host, &host.election, NULL));
    CHECK_OK(primacy_election_campaign(host.election));
    AWAIT(host.ready == 1);
    AWAIT(lines > 0);
    CHECK_EQUAL(logs_stopped, 0);
    end(&host);
    AWAIT(logs_stopped == 1);
}

/* As it was before the library was called for the first time. */
static struct sigaction actions[32];

static void note_signal_handlers(void) {
    for (int signal = 1; signal < 32; signal++)
        CHECK_EQUAL(sigaction(signal, NULL, &actions[signal]), 0);
}

static void no_signal_handler_was_installed(void) {
    for (int signal = 1; signal < 32; signal++) {
        struct sigaction action;
        CHECK_EQUAL(sigaction(signal, NULL, &action), 0);
        CHECK(action.sa_handler == actions[signal].sa_handler);
    }
}

int main(int argc, char **argv) {
    CHECK_EQUAL(argc, 2);
    endpoint = argv[1];
    note_signal_handlers();
    static void (*const cases[])(void) = {
        nothing_happens_before_campaign,
        the_primary_writes_under_its_token,
        what_is_started_is_told_once,
        a_change_is_told_once,
        a_close_answers_calls_that_nobody_takes,
        a_standby_takes_over_when_the_primary_resigns,
        a_pending_call_is_completed_once,
        a_cancelled_call_says_so_until_it_is_completed,
        a_call_may_be_completed_before_it_returns,
        a_failed_activation_gives_primacy_back,
        a_callback_may_resign_but_not_join,
        a_notice_may_not_block,
        a_callback_may_free_everything,
        a_callback_that_hangs_is_reported,
        a_freed_election_can_still_complete_what_is_pending,
        roles_are_refused_by_name,
        a_queue_carries_what_callbacks_would_be_told,
        calls_that_wait_in_a_freed_queue_fail,
        it_says_where_it_stands_and_how_it_came_there,
        an_observer_follows_the_primary,
        a_short_ttl_is_warned_of,
        a_client_loses_no_term_of_a_primary_that_takes_two_seconds,
        an_observer_whose_callback_hangs_is_reported,
        threads_of_the_library_take_no_signals,
        a_forked_child_is_nobody,
        a_log_outlives_what_logs_to_it,
        no_signal_handler_was_installed,
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(root, sizeof root, "c-tests-%ld-%zu", (long)getpid(), i);
        cases[i]();
    }
    return 0;
}
