/* Every function of primacy.h, called once with good arguments: what a host may do in each of its callbacks, and what
 * it must be told in a forked child.
 */
#ifndef EVERY_CALL_H
#define EVERY_CALL_H

#include "check.h"

/* One of each. */
struct things {
    primacy_config config;
    primacy_session session;
    primacy_election election;
    primacy_txn txn, gets;
    primacy_result result;
    primacy_observer observer;
    primacy_queue queue;
    int64_t token;
};

enum sort {
    SAYS,   /* a text or a number: it can not fail */
    PROMPT, /* does not wait */
    WAITS,  /* for etcd */
    JOINS,  /* for callbacks */
    ENDS,   /* what it is called on */
    FREES,  /* the same, and the handle with it */
};

static int32_t every_on_call(void *user_data, const primacy_call *call) {
    (void)user_data, (void)call;
    return PRIMACY_DONE;
}

static void every_on_line(void *user_data, int32_t level, const char *text) {
    (void)user_data, (void)level, (void)text;
}

static void every_on_result(void *user_data, primacy_status status, primacy_result result, primacy_error *error) {
    (void)user_data, (void)status;
    primacy_result_free(result);
    primacy_error_free(error);
}

static void every_on_change(void *user_data) { (void)user_data; }

static void every_on_grant(void *user_data, primacy_request request, int64_t lease, int64_t ttl_s, uint64_t timeout_ms) {
    (void)user_data, (void)request, (void)lease, (void)ttl_s, (void)timeout_ms;
}

static void every_on_lease(void *user_data, primacy_request request, int64_t lease, uint64_t timeout_ms) {
    (void)user_data, (void)request, (void)lease, (void)timeout_ms;
}

static void every_on_txn(void *user_data, primacy_request request, const primacy_store_txn *txn, uint64_t timeout_ms) {
    (void)user_data, (void)request, (void)txn, (void)timeout_ms;
}

static void every_on_watch(void *user_data, primacy_watch watch, const primacy_range *ranges, size_t count) {
    (void)user_data, (void)watch, (void)ranges, (void)count;
}

static void every_on_unwatch(void *user_data, primacy_watch watch) {
    (void)user_data, (void)watch;
}

static const primacy_store every_store = {
    .struct_size = sizeof(primacy_store),
    .grant = every_on_grant,
    .keep_alive = every_on_lease,
    .revoke = every_on_lease,
    .txn = every_on_txn,
    .watch = every_on_watch,
    .unwatch = every_on_unwatch,
};

/* There is no request and no watch of a lent store here. */
static inline primacy_status every_of_none(primacy_status status) {
    return status == PRIMACY_E_HANDLE ? PRIMACY_OK : status;
}

static const primacy_callbacks every_callbacks = {
    .struct_size = sizeof(primacy_callbacks), .on_primary = every_on_call, .on_lost = every_on_call};
static const primacy_log every_log = {
    .struct_size = sizeof(primacy_log), .level = PRIMACY_LOG_INFO, .on_line = every_on_line};
static const primacy_candidate every_candidate = {
    .struct_size = sizeof(primacy_candidate), .address = "127.0.0.1:1", .version = "1.0.0"};

/* NAME, SORT, BODY, where `t` are the things. What is made inside is freed inside. */
#define EVERY_CALL(X)                                                                                              \
    X(primacy_version, SAYS, CHECK(primacy_version() != NULL); return PRIMACY_OK;)                                 \
    X(primacy_status_string, SAYS, CHECK(primacy_status_string(3) != NULL); return PRIMACY_OK;)                    \
    X(primacy_status_may_pass, SAYS, CHECK_EQUAL(primacy_status_may_pass(3), 0); return PRIMACY_OK;)               \
    X(primacy_lost_string, SAYS, CHECK(primacy_lost_string(3) != NULL); return PRIMACY_OK;)                        \
    X(primacy_call_string, SAYS, CHECK(primacy_call_string(3) != NULL); return PRIMACY_OK;)                        \
    X(primacy_obstacle_string, SAYS, CHECK(primacy_obstacle_string(3) != NULL); return PRIMACY_OK;)                \
    X(primacy_session_state_string, SAYS, CHECK(primacy_session_state_string(3) != NULL); return PRIMACY_OK;)      \
    X(primacy_election_state_string, SAYS, CHECK(primacy_election_state_string(3) != NULL); return PRIMACY_OK;)    \
    X(primacy_error_status, SAYS, return primacy_error_status(NULL);)                                              \
    X(primacy_error_message, SAYS, CHECK(*primacy_error_message(NULL) == 0); return PRIMACY_OK;)                   \
    X(primacy_error_free, SAYS, primacy_error_free(NULL); return PRIMACY_OK;)                                      \
    X(primacy_string_free, SAYS, primacy_string_free(NULL); return PRIMACY_OK;)                                    \
    X(primacy_config_new, PROMPT, primacy_config made; primacy_status status = primacy_config_new(&made);          \
      primacy_config_free(made); return status;)                                                                   \
    X(primacy_config_set, PROMPT, return primacy_config_set(t->config, "common.session.ttl", "9", NULL);)          \
    X(primacy_config_set_log, PROMPT, primacy_config made; primacy_config_new(&made);                              \
      primacy_status status = primacy_config_set_log(made, &every_log, NULL, NULL); primacy_config_free(made);     \
      return status;)                                                                                              \
    X(primacy_config_set_store, PROMPT, primacy_config made; primacy_config_new(&made);                            \
      primacy_status status = primacy_config_set_store(made, &every_store, NULL, NULL); primacy_config_free(made); \
      return status;)                                                                                              \
    X(primacy_request_complete, PROMPT, return every_of_none(primacy_request_complete(0, NULL, NULL));)            \
    X(primacy_watch_confirmed, PROMPT, return every_of_none(primacy_watch_confirmed(0));)                          \
    X(primacy_watch_events, PROMPT, return every_of_none(primacy_watch_events(0, NULL, 0, NULL));)                 \
    X(primacy_watch_ended, PROMPT, return every_of_none(primacy_watch_ended(0, NULL));)                            \
    X(primacy_session_open, WAITS, primacy_session made;                                                           \
      primacy_status status = primacy_session_open(t->config, &every_candidate, &made, NULL);                      \
      primacy_session_free(made); return status;)                                                                  \
    X(primacy_session_start_open, PROMPT, primacy_session made;                                                    \
      primacy_status status =                                                                                      \
          primacy_session_start_open(t->config, &every_candidate, every_on_result, NULL, &made, NULL);             \
      primacy_session_free(made); return status;)                                                                  \
    X(primacy_session_server_id, PROMPT, int64_t id; return primacy_session_server_id(t->session, &id);)           \
    X(primacy_session_register, PROMPT, primacy_election made;                                                     \
      primacy_status status =                                                                                      \
          primacy_session_register(t->session, "datacoord", &every_callbacks, NULL, &made, NULL);                  \
      primacy_election_free(made); return status;)                                                                 \
    X(primacy_session_register_queued, PROMPT, primacy_election made;                                              \
      primacy_status status =                                                                                      \
          primacy_session_register_queued(t->session, "querycoord", t->queue, 1, &made, NULL);                     \
      primacy_election_free(made); return status;)                                                                 \
    X(primacy_session_read, WAITS, primacy_result made;                                                            \
      primacy_status status = primacy_session_read(t->session, t->gets, 10000, &made, NULL);                       \
      primacy_result_free(made); return status;)                                                                   \
    X(primacy_session_start_read, PROMPT,                                                                          \
      return primacy_session_start_read(t->session, t->gets, 10000, every_on_result, NULL, NULL);)                 \
    X(primacy_session_mark_stopping, PROMPT, return primacy_session_mark_stopping(t->session);)                    \
    X(primacy_session_snapshot, PROMPT, primacy_session_state state = {.struct_size = sizeof state};               \
      return primacy_session_snapshot(t->session, &state);)                                                        \
    X(primacy_session_snapshot_json, PROMPT, char *json;                                                           \
      primacy_status status = primacy_session_snapshot_json(t->session, &json, NULL);                              \
      primacy_string_free(json); return status;)                                                                   \
    X(primacy_session_health_json, PROMPT, char *json;                                                             \
      primacy_status status = primacy_session_health_json(t->session, &json, NULL);                                \
      primacy_string_free(json); return status;)                                                                   \
    X(primacy_session_join, JOINS, return primacy_session_join(t->session, 10000);)                                \
    X(primacy_session_close, JOINS, return primacy_session_close(t->session, 10000, 0, NULL);)                     \
    X(primacy_election_campaign, PROMPT, return primacy_election_campaign(t->election);)                           \
    X(primacy_election_is_primary, PROMPT, primacy_status status;                                                  \
      primacy_election_is_primary(t->election, NULL, &status); return status;)                                     \
    X(primacy_election_remaining_ms, PROMPT, primacy_status status;                                                \
      primacy_election_remaining_ms(t->election, &status); return status;)                                         \
    X(primacy_election_is_cancelled, SAYS, primacy_election_is_cancelled(t->election, 1); return PRIMACY_OK;)      \
    X(primacy_election_complete, PROMPT,                                                                           \
      return primacy_election_complete(t->election, UINT64_MAX - 1, PRIMACY_DONE, NULL);)                          \
    X(primacy_election_commit, WAITS,                                                                              \
      return primacy_election_commit(t->election, t->token, t->txn, 10000, NULL, NULL);)                           \
    X(primacy_election_start_commit, PROMPT,                                                                       \
      return primacy_election_start_commit(t->election, t->token, t->txn, 10000, every_on_result, NULL, NULL);)    \
    X(primacy_election_guard, PROMPT, primacy_result made;                                                         \
      primacy_status status = primacy_election_guard(t->election, t->token, &made); primacy_result_free(made);     \
      return status;)                                                                                              \
    X(primacy_election_recording, PROMPT, char *text;                                                              \
      primacy_status status = primacy_election_recording(t->election, &text); primacy_string_free(text);           \
      return status;)                                                                                              \
    X(primacy_election_snapshot, PROMPT, primacy_election_state state = {.struct_size = sizeof state};             \
      return primacy_election_snapshot(t->election, &state);)                                                      \
    X(primacy_election_watch, PROMPT, return primacy_election_watch(t->election, NULL, every_on_change, NULL);)    \
    X(primacy_election_join, JOINS, return primacy_election_join(t->election, 10000);)                             \
    X(primacy_election_close, JOINS, return primacy_election_close(t->election, 10000, 0, NULL);)                  \
    X(primacy_txn_new, PROMPT, primacy_txn made; primacy_status status = primacy_txn_new(&made);                   \
      primacy_txn_free(made); return status;)                                                                      \
    X(primacy_txn_compare_mod_revision, PROMPT, return primacy_txn_compare_mod_revision(t->txn, "a", 1, 0);)       \
    X(primacy_txn_compare_version, PROMPT, return primacy_txn_compare_version(t->txn, "a", 1, 0);)                 \
    X(primacy_txn_compare_value, PROMPT, return primacy_txn_compare_value(t->txn, "a", 1, "v", 1);)                \
    X(primacy_txn_compare_absent, PROMPT, return primacy_txn_compare_absent(t->txn, "a", 1);)                      \
    X(primacy_txn_put, PROMPT, return primacy_txn_put(t->txn, "b", 1, "v", 1);)                                    \
    X(primacy_txn_delete, PROMPT, return primacy_txn_delete(t->txn, "c", 1);)                                      \
    X(primacy_txn_get, PROMPT, return primacy_txn_get(t->gets, "a", 1);)                                           \
    X(primacy_txn_get_prefix, PROMPT, return primacy_txn_get_prefix(t->gets, "z", 1);)                             \
    X(primacy_result_revision, PROMPT, int64_t revision; return primacy_result_revision(t->result, &revision);)    \
    X(primacy_result_count, PROMPT, size_t count; return primacy_result_count(t->result, 0, &count);)              \
    X(primacy_result_key_value, PROMPT, primacy_key_value kv = {.struct_size = sizeof kv};                         \
      return primacy_result_key_value(t->result, 0, 0, &kv);)                                                      \
    X(primacy_observer_open, WAITS, primacy_observer made;                                                         \
      primacy_status status = primacy_observer_open(t->config, "rootcoord", NULL, NULL, &made, NULL);              \
      primacy_observer_free(made); return status;)                                                                 \
    X(primacy_observer_open_queued, WAITS, primacy_observer made;                                                  \
      primacy_status status = primacy_observer_open_queued(t->config, "rootcoord", t->queue, 2, &made, NULL);      \
      primacy_observer_free(made); return status;)                                                                 \
    X(primacy_observer_current, PROMPT, primacy_primary primary = {.struct_size = sizeof primary};                 \
      return primacy_observer_current(t->observer, &primary);)                                                     \
    X(primacy_observer_wait, JOINS, primacy_primary primary = {.struct_size = sizeof primary};                     \
      return primacy_observer_wait(t->observer, INT64_MAX, 10000, &primary);)                                      \
    X(primacy_observer_wait_ready, JOINS, primacy_primary primary = {.struct_size = sizeof primary};               \
      return primacy_observer_wait_ready(t->observer, 10000, &primary);)                                           \
    X(primacy_queue_new, PROMPT, primacy_queue made; primacy_status status = primacy_queue_new(&made, NULL);       \
      primacy_queue_free(made); return status;)                                                                    \
    X(primacy_queue_fd, PROMPT, int32_t fd; return primacy_queue_fd(t->queue, &fd);)                               \
    X(primacy_queue_wake, PROMPT, return primacy_queue_wake(t->queue, 3);)                                         \
    X(primacy_queue_next, WAITS, primacy_event event = {.struct_size = sizeof event};                              \
      return primacy_queue_next(t->queue, 10000, &event);)                                                         \
    X(primacy_election_transfer, ENDS, return primacy_election_transfer(t->election, 0);)                          \
    X(primacy_election_healthy, PROMPT, return primacy_election_healthy(t->election);)                             \
    X(primacy_election_resign, ENDS, return primacy_election_resign(t->election);)                                 \
    X(primacy_election_stop, ENDS, return primacy_election_stop(t->election, 10000);)                              \
    X(primacy_session_stop, ENDS, return primacy_session_stop(t->session, 10000);)                                 \
    X(primacy_election_free, FREES, return primacy_election_free(t->election);)                                    \
    X(primacy_session_free, FREES, return primacy_session_free(t->session);)                                       \
    X(primacy_observer_free, FREES, return primacy_observer_free(t->observer);)                                    \
    X(primacy_queue_free, FREES, return primacy_queue_free(t->queue);)                                             \
    X(primacy_config_free, FREES, return primacy_config_free(t->config);)                                          \
    X(primacy_txn_free, FREES, return primacy_txn_free(t->txn);)                                                   \
    X(primacy_result_free, FREES, return primacy_result_free(t->result);)

#define EVERY_FUNCTION(name, sort, ...)                                                                            \
    static primacy_status every_##name(const struct things *t) {                                                   \
        (void)t;                                                                                                   \
        __VA_ARGS__                                                                                                \
    }
EVERY_CALL(EVERY_FUNCTION)
#undef EVERY_FUNCTION

static const struct {
    const char *name;
    enum sort sort;
    primacy_status (*call)(const struct things *t);
} every_call[] = {
#define EVERY_ROW(name, sort, ...) {#name, sort, every_##name},
    EVERY_CALL(EVERY_ROW)
#undef EVERY_ROW
};

enum { EVERY_CALL_COUNT = sizeof every_call / sizeof *every_call };

#endif
