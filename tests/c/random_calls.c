/* Random calls from four threads, on live, freed, foreign and made-up handles, with arguments good and bad: nothing
 * crashes, and when all is freed nothing is left. Needs no etcd.
 *
 *     random_calls CALLS SEED
 */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <unistd.h>

#include "process.h"

enum { THREADS = 4, HANDLES = 64, BUFFER = 8192 };

/* Of all kinds; 0: none. */
static _Atomic uint64_t handles[HANDLES];
/* The calls that wait to be completed: whatever else is done at random, a host owes the library that. */
static struct { _Atomic uint64_t election, call; } pending[1 << 20];
static atomic_size_t pendings;
/* The elections whose calls arrive in `events`, which outlives them; their tags are their places. */
static _Atomic uint64_t queued[1 << 16];
static atomic_size_t queueds;
static primacy_queue events;
static atomic_int stopped, registered;
static long calls;

struct thread {
    pthread_t id;
    uint64_t seed;
    char buffer[BUFFER];
};

static uint64_t draw(struct thread *me) {
    me->seed ^= me->seed << 13;
    me->seed ^= me->seed >> 7;
    me->seed ^= me->seed << 17;
    return me->seed;
}

static size_t below(struct thread *me, size_t end) {
    return (size_t)(draw(me) >> 11) % end;
}

static bool one_in(struct thread *me, size_t n) {
    return below(me, n) == 0;
}

/* ---- arguments ---- */

static uint64_t handle(struct thread *me) {
    switch (below(me, 16)) {
    case 0:
        return 0;
    case 1:
        return draw(me);
    case 2:
        return draw(me) & UINT64_C(0xff000000ff); /* near those that were given out */
    default:
        return handles[below(me, HANDLES)];
    }
}

static void end(uint64_t handle) {
    /* Of whatever kind it is: the others refuse it. */
    primacy_session_free(handle);
    primacy_observer_free(handle);
    primacy_election_free(handle);
    primacy_config_free(handle);
    primacy_txn_free(handle);
    primacy_result_free(handle);
    primacy_queue_free(handle);
}

static void keep(struct thread *me, uint64_t made) {
    if (made != 0)
        end(atomic_exchange(&handles[below(me, HANDLES)], made));
}

static const char *text(struct thread *me) {
    static const char *const texts[] = {
        NULL, "", "\xff\xfe", "rootcoord", "datacoord", "querycoord", "mixcoord", "a/b", "id", "x-1", "true", "20",
        "-1", "etcd.endpoints", "common.session.ttl", "primacy.margin_ms", "mem://random", "localhost:1", "no such",
        "127.0.0.1:1", "1.0.0",
    };
    return texts[below(me, sizeof texts / sizeof *texts)];
}

static uint64_t timeout(struct thread *me) {
    return below(me, 3);
}

/* A struct of ours in the buffer, with a size that is right, or not. */
static void *sized(struct thread *me, size_t right) {
    const size_t sizes[] = {0, 1, right - 1, right + 8, 4096, 4097, SIZE_MAX, (size_t)draw(me)};
    size_t size = one_in(me, 4) ? sizes[below(me, sizeof sizes / sizeof *sizes)] : right;
    memset(me->buffer, one_in(me, 16), sizeof me->buffer);
    memcpy(me->buffer, &size, sizeof size);
    return one_in(me, 32) ? NULL : me->buffer;
}

/* ---- the host ---- */

static void owe(uint64_t election, uint64_t call) {
    size_t at = pendings++;
    CHECK(at < sizeof pending / sizeof *pending);
    pending[at].call = call;
    pending[at].election = election;
}

static int32_t on_call(void *user_data, const primacy_call *call) {
    static const int32_t answers[] = {PRIMACY_DONE, PRIMACY_WARM, PRIMACY_PENDING, PRIMACY_FAILED, 99};
    int32_t answer = answers[(call->call ^ call->election) % (sizeof answers / sizeof *answers)];
    (void)user_data;
    if (answer == PRIMACY_PENDING)
        owe(call->election, call->call);
    return answer;
}

/* What has arrived for the elections without callbacks: one of a hundred is completed late. */
static void take_events(bool all) {
    primacy_event event = {.struct_size = sizeof event};
    while (primacy_queue_next(events, 0, &event) == PRIMACY_OK)
        if (event.kind == PRIMACY_EVENT_CALL) {
            AWAIT(queued[event.tag] != 0); /* it may come before the registration has returned */
            if (all || event.call % 100 != 0)
                primacy_election_complete(queued[event.tag], event.call, PRIMACY_DONE, NULL);
            else
                owe(queued[event.tag], event.call);
        }
}

static void on_stopped(void *user_data) {
    (void)user_data;
    stopped++;
}

static void on_change(void *user_data, const primacy_primary *primary) {
    (void)user_data, (void)primary;
}

static void on_line(void *user_data, int32_t level, const char *line) {
    (void)user_data, (void)level, (void)line;
}

/* What a lent store was asked, and the watches of it: answered by whoever draws them. */
static _Atomic uint64_t asked[64];
static atomic_size_t askeds;

static void on_asked(uint64_t what) {
    asked[askeds++ % (sizeof asked / sizeof *asked)] = what;
}

static void on_grant(void *user_data, primacy_request request, int64_t lease, int64_t ttl_s, uint64_t timeout_ms) {
    (void)user_data, (void)lease, (void)ttl_s, (void)timeout_ms;
    on_asked(request);
}

static void on_lease(void *user_data, primacy_request request, int64_t lease, uint64_t timeout_ms) {
    (void)user_data, (void)lease, (void)timeout_ms;
    on_asked(request);
}

static void on_txn(void *user_data, primacy_request request, const primacy_store_txn *txn, uint64_t timeout_ms) {
    (void)user_data, (void)txn, (void)timeout_ms;
    on_asked(request);
}

static void on_watch(void *user_data, primacy_watch watch, const primacy_range *ranges, size_t count) {
    (void)user_data, (void)ranges, (void)count;
    on_asked(watch);
}

static void on_unwatch(void *user_data, primacy_watch watch) {
    (void)user_data, (void)watch;
}

static void on_result(void *user_data, primacy_status status, primacy_result result, primacy_error *error) {
    (void)user_data, (void)status;
    primacy_result_free(result);
    primacy_error_free(error);
}

static const primacy_candidate candidate = {
    .struct_size = sizeof candidate, .address = "127.0.0.1:1", .version = "1.0.0"};

static primacy_config good_config(void) {
    static const char *const settings[][2] = {
        {"etcd.endpoints", "mem://random"},     {"primacy.allow_memory_store", "true"},
        {"etcd.requestTimeout", "100"},         {"primacy.drain_timeout_ms", "20"},
        {"primacy.warmup_interval_ms", "1"},
    };
    primacy_config config;
    CHECK_OK(primacy_config_new(&config));
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        CHECK_OK(primacy_config_set(config, settings[i][0], settings[i][1], NULL));
    return config;
}

/* ---- the calls ---- */

static void register_queued(struct thread *me) {
    uint64_t made = 0;
    size_t tag = queueds++;
    CHECK(tag < sizeof queued / sizeof *queued);
    if (primacy_session_register_queued(handle(me), text(me), events, tag, &made, NULL) == PRIMACY_OK) {
        queued[tag] = made;
        primacy_election_campaign(made);
        keep(me, made);
    }
}

static primacy_status lend(struct thread *me, primacy_config config) {
    const primacy_store lent = {
        .struct_size = sizeof lent,
        .grant = on_grant,
        .keep_alive = one_in(me, 8) ? NULL : on_lease,
        .revoke = on_lease,
        .txn = on_txn,
        .watch = on_watch,
        .unwatch = on_unwatch,
    };
    return primacy_config_set_store(config, one_in(me, 8) ? NULL : &lent, NULL, NULL);
}

static void answer_something(struct thread *me) {
    const uint64_t what = asked[below(me, sizeof asked / sizeof *asked)];
    const primacy_key_value kv = {.struct_size = sizeof kv, .key = "k", .key_size = 1, .version = (int64_t)below(me, 2)};
    const primacy_found found[] = {{NULL, 0}, {&kv, 1}};
    const primacy_answer answer = {
        .struct_size = one_in(me, 8) ? below(me, sizeof answer) : sizeof answer,
        .failure = one_in(me, 2) ? 0 : (int32_t)below(me, 9),
        .succeeded = (int32_t)below(me, 2),
        .message = text(me),
        .ttl_s = (int64_t)below(me, 3),
        .cluster_id = below(me, 3),
        .raft_term = below(me, 3),
        .revision = (int64_t)below(me, 3),
        .found = found,
        .found_count = below(me, 3),
    };
    switch (below(me, 8)) {
    case 0: primacy_watch_events(what, &kv, below(me, 2), NULL); break;
    case 1: primacy_watch_ended(what, text(me)); break;
    case 2: primacy_watch_confirmed(what); break;
    case 3: primacy_request_complete(what, NULL, NULL); break;
    default: primacy_request_complete(what, &answer, NULL);
    }
}

static void open_something(struct thread *me) {
    const primacy_observer_callbacks watching = {.struct_size = sizeof watching, .on_change = on_change};
    uint64_t made = 0;
    primacy_config config = good_config();
    primacy_error *error = NULL;
    if (one_in(me, 4))
        lend(me, config);
    if (one_in(me, 2))
        primacy_session_open(config, &candidate, &made, &error);
    else if (one_in(me, 2))
        primacy_session_start_open(config, &candidate, one_in(me, 32) ? NULL : on_result, NULL, &made, &error);
    else if (one_in(me, 2))
        primacy_observer_open(config, text(me), &watching, NULL, &made, &error);
    else
        primacy_observer_open_queued(config, text(me), handle(me), draw(me), &made, &error);
    primacy_error_free(error);
    keep(me, made);
    keep(me, config);
}

static void call_something(struct thread *me) {
    const primacy_callbacks callbacks = {
        .struct_size = sizeof callbacks,
        .on_standby = one_in(me, 2) ? on_call : NULL,
        .on_warmup = one_in(me, 2) ? on_call : NULL,
        .on_primary = one_in(me, 32) ? NULL : on_call,
        .on_lost = on_call,
        .on_stopped = on_stopped,
    };
    const primacy_log log = {
        .struct_size = sizeof log, .level = (int32_t)below(me, 6), .on_line = one_in(me, 8) ? NULL : on_line};
    uint64_t made = 0;
    int64_t number;
    int32_t small;
    size_t size;
    char *string = NULL;
    primacy_error *error = NULL;
    primacy_error **error_out = one_in(me, 2) ? &error : NULL;
    primacy_status status = PRIMACY_OK;
    switch (below(me, 48)) {
    case 0: if (one_in(me, 8)) primacy_config_new(&made); break;
    case 1: if (one_in(me, 8)) primacy_txn_new(&made); break;
    case 2: if (one_in(me, 8)) primacy_queue_new(&made, error_out); break;
    case 3: status = primacy_config_set(handle(me), text(me), text(me), error_out); break;
    case 4: status = primacy_config_set_log(handle(me), one_in(me, 4) ? NULL : &log, NULL, error_out); break;
    case 5: status = primacy_session_server_id(handle(me), one_in(me, 8) ? NULL : &number); break;
    case 6:
    case 7:
        status = primacy_session_register(handle(me), text(me), &callbacks, NULL, &made, error_out);
        registered += status == PRIMACY_OK;
        break;
    case 8: register_queued(me); break;
    case 9: primacy_session_read(handle(me), handle(me), timeout(me), &made, error_out); break;
    case 10:
        if (one_in(me, 2))
            primacy_session_snapshot_json(handle(me), &string, error_out);
        else
            primacy_session_health_json(handle(me), &string, error_out);
        break;
    case 11: primacy_session_snapshot(handle(me), sized(me, sizeof(primacy_session_state))); break;
    case 12: primacy_session_join(handle(me), timeout(me)); break;
    case 13:
    case 14:
    case 15: primacy_election_campaign(handle(me)); break;
    case 16:
        primacy_election_healthy(handle(me));
        if (below(me, 2) == 0)
            primacy_election_resign(handle(me));
        else
            primacy_election_transfer(handle(me), (int64_t)below(me, 4) - 1);
        break;
    case 17: primacy_election_join(handle(me), timeout(me)); break;
    case 18:
        size = pendings == 0 ? 0 : below(me, pendings);
        primacy_election_complete(pending[size].election, pending[size].call, (int32_t)below(me, 5), text(me));
        break;
    case 19: take_events(false); break;
    case 20: primacy_election_is_cancelled(handle(me), draw(me)); break;
    case 21: small = primacy_election_is_primary(handle(me), &number, NULL); CHECK(small == 0 || small == 1); break;
    case 22: CHECK(primacy_election_remaining_ms(handle(me), &status) <= 10000); status = PRIMACY_OK; break;
    case 23:
    case 24:
        number = 0;
        primacy_election_is_primary(handle(me), &number, NULL);
        primacy_election_commit(handle(me), number, handle(me), timeout(me), &made, error_out);
        break;
    case 25: primacy_election_guard(handle(me), (int64_t)draw(me), &made); break;
    case 26: primacy_election_recording(handle(me), &string); break;
    case 27: primacy_election_snapshot(handle(me), sized(me, sizeof(primacy_election_state))); break;
    case 28: primacy_txn_compare_version(handle(me), me->buffer, below(me, 3), (int64_t)draw(me)); break;
    case 29: primacy_txn_compare_mod_revision(handle(me), "k", 1, (int64_t)draw(me)); break;
    case 30: primacy_txn_compare_value(handle(me), "k", 1, text(me), 0); break;
    case 31: primacy_txn_put(handle(me), me->buffer, below(me, BUFFER), me->buffer, below(me, BUFFER)); break;
    case 32: primacy_txn_get_prefix(handle(me), "k", below(me, 2)); break;
    case 33: primacy_result_revision(handle(me), &number); break;
    case 34: primacy_result_count(handle(me), below(me, 3), &size); break;
    case 35: primacy_result_key_value(handle(me), below(me, 2), below(me, 3), sized(me, sizeof(primacy_key_value))); break;
    case 36: primacy_observer_current(handle(me), sized(me, sizeof(primacy_primary))); break;
    case 37: primacy_observer_wait(handle(me), (int64_t)draw(me), timeout(me), sized(me, sizeof(primacy_primary))); break;
    case 38: primacy_queue_fd(handle(me), &small); break;
    case 39: primacy_queue_wake(handle(me), draw(me)); break;
    case 40: primacy_queue_next(handle(me), timeout(me), sized(me, sizeof(primacy_event))); break;
    case 41: if (one_in(me, 8)) primacy_session_stop(handle(me), timeout(me)); break;
    case 42: if (one_in(me, 8)) primacy_election_stop(handle(me), timeout(me)); break;
    case 43: if (one_in(me, 8)) end(handle(me)); break;
    case 44: status = lend(me, handle(me)); break;
    default: answer_something(me);
    }
    CHECK(status != PRIMACY_E_INTERNAL && status != PRIMACY_E_FORKED);
    CHECK(primacy_error_status(error) != PRIMACY_E_INTERNAL);
    primacy_error_free(error);
    primacy_string_free(string);
    keep(me, made);
}

static void *call_at_random(void *thread) {
    struct thread *me = thread;
    for (long i = 0; i < calls / THREADS; i++) {
        if (one_in(me, 512))
            open_something(me);
        else
            call_something(me);
    }
    return NULL;
}

int main(int argc, char **argv) {
    static struct thread callers[THREADS];
    CHECK_EQUAL(argc, 3);
    calls = atol(argv[1]);
    const uint64_t seed = strtoull(argv[2], NULL, 10);
    const int before = descriptors();
    CHECK_OK(primacy_queue_new(&events, NULL));
    for (int i = 0; i < THREADS; i++) {
        callers[i].seed = (seed + (uint64_t)i + 1) * UINT64_C(0x9e3779b97f4a7c15);
        CHECK_EQUAL(pthread_create(&callers[i].id, NULL, call_at_random, &callers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        CHECK_EQUAL(pthread_join(callers[i].id, NULL), 0);
    for (int i = 0; i < HANDLES; i++)
        end(handles[i]);
    /* Until all has ended, the library may ask for more. */
    for (int tries = 0; threads() > 1; tries++) {
        const struct timespec pause = {0, 2000000};
        CHECK(tries < 7500);
        take_events(true);
        for (size_t i = 0; i < pendings; i++)
            primacy_election_complete(pending[i].election, pending[i].call, PRIMACY_DONE, NULL);
        nanosleep(&pause, NULL);
    }
    CHECK_OK(primacy_queue_free(events));
    AWAIT(descriptors() == before);
    CHECK(registered > 0);
    CHECK_EQUAL(stopped, registered);
    return 0;
}
