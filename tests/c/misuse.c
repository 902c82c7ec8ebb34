/* Everything that a caller can get wrong has its own status, a message that says what to do, and no other
 * effect. Needs no etcd.
 */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>

#include "every_call.h"

static const char bad_utf8[] = "\xff\xfe";

static int32_t on_call(void *user_data, const primacy_call *call) {
    (void)user_data, (void)call;
    return PRIMACY_DONE;
}

static void on_result(void *user_data, primacy_status status, primacy_result result, primacy_error *error) {
    (void)user_data, (void)status, (void)result, (void)error;
}

static void on_change(void *user_data) { (void)user_data; }

static void on_line(void *user_data, int32_t level, const char *text) {
    (void)user_data, (void)level, (void)text;
}

static void count(void *user_data) {
    ++*(int *)user_data;
}

static void the_version_is_the_headers(void) {
    char joined[64];
    snprintf(joined, sizeof joined, "%d.%d.%d", PRIMACY_VERSION_MAJOR, PRIMACY_VERSION_MINOR,
             PRIMACY_VERSION_PATCH);
    CHECK(strcmp(primacy_version(), PRIMACY_VERSION) == 0);
    CHECK(strncmp(PRIMACY_VERSION, joined, strlen(joined)) == 0);
}

static void every_status_has_its_sentence(void) {
    const primacy_status all[] = {
        PRIMACY_OK,           PRIMACY_E_INTERNAL,     PRIMACY_E_NULL,         PRIMACY_E_HANDLE,
        PRIMACY_E_UTF8,       PRIMACY_E_ARGUMENT,     PRIMACY_E_STRUCT_SIZE,  PRIMACY_E_FORKED,
        PRIMACY_E_DEADLOCK,   PRIMACY_E_TIMEOUT,      PRIMACY_E_STOPPED,      PRIMACY_E_SYSTEM,
        PRIMACY_E_CONFIG_NAME, PRIMACY_E_CONFIG_VALUE, PRIMACY_E_CONFIG_RELATION, PRIMACY_E_CANDIDATE,
        PRIMACY_E_ROLE,       PRIMACY_E_ROLE_TAKEN,   PRIMACY_E_UNREACHABLE,  PRIMACY_E_INDEFINITE,
        PRIMACY_E_DENIED,     PRIMACY_E_REFUSED,      PRIMACY_E_NOT_PRIMARY,  PRIMACY_E_CONFLICT,
        PRIMACY_E_CALL,
    };
    const size_t n = sizeof all / sizeof *all;
    const char *unknown = primacy_status_string(-1);
    for (size_t i = 0; i < n; i++) {
        CHECK(strcmp(primacy_status_string(all[i]), unknown) != 0);
        for (size_t j = 0; j < i; j++)
            CHECK(strcmp(primacy_status_string(all[i]), primacy_status_string(all[j])) != 0);
    }
    CHECK_EQUAL(primacy_status_may_pass(PRIMACY_E_UNREACHABLE), 1);
    CHECK_EQUAL(primacy_status_may_pass(PRIMACY_E_INDEFINITE), 0);
    CHECK_EQUAL(primacy_status_may_pass(PRIMACY_E_DENIED), 0);
    CHECK_EQUAL(primacy_status_may_pass(PRIMACY_E_CONFIG_RELATION), 0);
    CHECK_EQUAL(primacy_status_may_pass(INT32_MIN), 0);
    CHECK(strcmp(primacy_lost_string(PRIMACY_LOST_LEASE_EXPIRED), "lease_expired") == 0);
    CHECK(strcmp(primacy_lost_string(0), "unknown") == 0);
}

static void an_error_object_may_be_null(void) {
    CHECK_EQUAL(primacy_error_status(NULL), PRIMACY_OK);
    CHECK(strcmp(primacy_error_message(NULL), "") == 0);
    primacy_error_free(NULL);
    primacy_string_free(NULL);
}

static void a_configuration_refuses_what_it_does_not_know(void) {
    primacy_config config;
    CHECK_EQUAL(primacy_config_new(NULL), PRIMACY_E_NULL);
    CHECK_OK(primacy_config_new(&config));
    CHECK_ERROR(primacy_config_set(config, "common.session.ttl", "20", &error), PRIMACY_OK);
    CHECK_ERROR(primacy_config_set(config, "common.session.tll", "20", &error), PRIMACY_E_CONFIG_NAME);
    CHECK_ERROR(primacy_config_set(config, "", "20", &error), PRIMACY_E_CONFIG_NAME);
    CHECK_ERROR(primacy_config_set(config, "common.session.ttl", "0", &error), PRIMACY_E_CONFIG_VALUE);
    CHECK_ERROR(primacy_config_set(config, "common.session.ttl", "soon", &error), PRIMACY_E_CONFIG_VALUE);
    CHECK_ERROR(primacy_config_set(config, "common.session.ttl", "-1", &error), PRIMACY_E_CONFIG_VALUE);
    CHECK_ERROR(primacy_config_set(config, NULL, "20", &error), PRIMACY_E_NULL);
    CHECK_ERROR(primacy_config_set(config, "common.session.ttl", NULL, &error), PRIMACY_E_NULL);
    CHECK_ERROR(primacy_config_set(config, bad_utf8, "20", &error), PRIMACY_E_UTF8);
    CHECK_ERROR(primacy_config_set(config, "etcd.endpoints", bad_utf8, &error), PRIMACY_E_UTF8);
    CHECK_EQUAL(primacy_config_set(config, "x", "y", NULL), PRIMACY_E_CONFIG_NAME);
    CHECK_OK(primacy_config_free(config));
    CHECK_EQUAL(primacy_config_free(config), PRIMACY_E_HANDLE);
    CHECK_ERROR(primacy_config_set(config, "common.session.ttl", "20", &error), PRIMACY_E_HANDLE);
}

static void settings_that_do_not_fit_together_open_nothing(void) {
    const primacy_candidate candidate = {
        .struct_size = sizeof candidate, .address = "127.0.0.1:1", .version = "1.0.0"};
    primacy_config config;
    primacy_session session = 1;
    CHECK_OK(primacy_config_new(&config));
    CHECK_OK(primacy_config_set(config, "common.session.ttl", "5", NULL));
    CHECK_OK(primacy_config_set(config, "primacy.margin_ms", "5000", NULL));
    CHECK_ERROR(primacy_session_open(config, &candidate, &session, &error), PRIMACY_E_CONFIG_RELATION);
    CHECK_EQUAL(session, 0);
    CHECK_OK(primacy_config_free(config));
}

/* A caller that was compiled against another header than the library. */
static void structs_may_be_older_or_newer(void) {
    struct {
        primacy_candidate candidate;
        char newer[64];
    } big;
    primacy_config config;
    primacy_session session;
    CHECK_OK(primacy_config_new(&config));
    /* Nobody listens there; what matters is how far it gets. */
    CHECK_OK(primacy_config_set(config, "etcd.endpoints", "127.0.0.1:1", NULL));
    CHECK_OK(primacy_config_set(config, "etcd.requestTimeout", "100", NULL));

    memset(&big, 0, sizeof big);
    big.candidate.address = "127.0.0.1:1";
    big.candidate.version = "1.0.0";
    const size_t wrong[] = {0, 1, offsetof(primacy_candidate, server_id) - 1, 1 << 20, SIZE_MAX};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        big.candidate.struct_size = wrong[i];
        CHECK_ERROR(primacy_session_open(config, &big.candidate, &session, &error), PRIMACY_E_STRUCT_SIZE);
    }
    big.candidate.struct_size = sizeof big;
    CHECK_ERROR(primacy_session_open(config, &big.candidate, &session, &error), PRIMACY_E_UNREACHABLE);
    big.newer[63] = 1;
    CHECK_ERROR(primacy_session_open(config, &big.candidate, &session, &error), PRIMACY_E_STRUCT_SIZE);
    CHECK_ERROR(primacy_session_open(config, NULL, &session, &error), PRIMACY_E_NULL);
    CHECK_OK(primacy_config_free(config));
}

static void a_candidate_says_what_it_lacks(void) {
    const primacy_candidate good = {.struct_size = sizeof good, .address = "127.0.0.1:1", .version = "1.0.0"};
    const char *const labels[] = {"zone=a", "none"}, *const null_label[] = {NULL};
    primacy_candidate bad;
    primacy_config config;
    primacy_session session;
    CHECK_OK(primacy_config_new(&config));
    const struct {
        primacy_status status;
        primacy_candidate candidate;
    } cases[] = {
#define CASE(status_, ...) {status_, {.struct_size = sizeof good, __VA_ARGS__}}
        CASE(PRIMACY_E_NULL, .version = "1.0.0"),
        CASE(PRIMACY_E_NULL, .address = "127.0.0.1:1"),
        CASE(PRIMACY_E_CANDIDATE, .version = "1.0.0", .address = "no port"),
        CASE(PRIMACY_E_CANDIDATE, .version = "1.0.0", .address = "127.0.0.1:1", .server_id = -1),
        CASE(PRIMACY_E_ARGUMENT, .version = "1.0.0", .address = "127.0.0.1:1", .any_address = 3),
        CASE(PRIMACY_E_CANDIDATE, .version = "1.0", .address = "127.0.0.1:1"),
        CASE(PRIMACY_E_UTF8, .version = "1.0.0", .address = bad_utf8),
        CASE(PRIMACY_E_UTF8, .version = "1.0.0", .address = "127.0.0.1:1", .host_name = bad_utf8),
        CASE(PRIMACY_E_ARGUMENT, .version = "1.0.0", .address = "127.0.0.1:1", .exclusive = 3),
        CASE(PRIMACY_E_CANDIDATE, .version = "1.0.0", .address = "127.0.0.1:1", .index_engine_version = "[]"),
        CASE(PRIMACY_E_CANDIDATE, .version = "1.0.0", .address = "127.0.0.1:1", .server_labels = labels,
             .server_labels_count = 2),
        CASE(PRIMACY_E_NULL, .version = "1.0.0", .address = "127.0.0.1:1", .server_labels = null_label,
             .server_labels_count = 1),
        CASE(PRIMACY_E_NULL, .version = "1.0.0", .address = "127.0.0.1:1", .server_labels_count = 1),
        CASE(PRIMACY_E_ARGUMENT, .version = "1.0.0", .address = "127.0.0.1:1", .server_labels = labels,
             .server_labels_count = SIZE_MAX),
#undef CASE
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        CHECK_ERROR(primacy_session_open(config, &cases[i].candidate, &session, &error), cases[i].status);
    bad = good;
    CHECK_ERROR(primacy_session_open(config, &bad, NULL, &error), PRIMACY_E_NULL);
    CHECK_ERROR(primacy_session_open(0, &bad, &session, &error), PRIMACY_E_HANDLE);
    CHECK_OK(primacy_config_free(config));
}

static void a_log_is_let_go_of_once(void) {
    int stopped = 0;
    primacy_config config;
    primacy_log log = {
        .struct_size = sizeof log, .level = PRIMACY_LOG_DEBUG, .on_line = on_line, .on_stopped = count};
    CHECK_OK(primacy_config_new(&config));
    CHECK_ERROR(primacy_config_set_log(config, &log, &stopped, &error), PRIMACY_OK);
    CHECK_EQUAL(stopped, 0);
    CHECK_OK(primacy_config_set_log(config, &log, &stopped, NULL));
    CHECK_EQUAL(stopped, 1);
    CHECK_OK(primacy_config_set_log(config, NULL, NULL, NULL));
    CHECK_EQUAL(stopped, 2);
    log.level = 5;
    CHECK_ERROR(primacy_config_set_log(config, &log, &stopped, &error), PRIMACY_E_ARGUMENT);
    log.level = PRIMACY_LOG_WARN;
    log.on_line = NULL;
    CHECK_ERROR(primacy_config_set_log(config, &log, &stopped, &error), PRIMACY_E_NULL);
    log.on_line = on_line;
    CHECK_ERROR(primacy_config_set_log(0, &log, &stopped, &error), PRIMACY_E_HANDLE);
    CHECK_EQUAL(stopped, 2);
    CHECK_OK(primacy_config_set_log(config, &log, &stopped, NULL));
    CHECK_OK(primacy_config_free(config));
    CHECK_EQUAL(stopped, 3);
}

static void a_lent_store_has_all_its_functions_and_is_let_go_of_once(void) {
    int stopped = 0;
    primacy_config config;
    primacy_store store = every_store;
    store.on_stopped = count;
    CHECK_OK(primacy_config_new(&config));
    CHECK_ERROR(primacy_config_set_store(config, &store, &stopped, &error), PRIMACY_OK);
    CHECK_ERROR(primacy_config_set_store(config, &store, &stopped, &error), PRIMACY_OK);
    CHECK_EQUAL(stopped, 1);
    CHECK_OK(primacy_config_set_store(config, NULL, NULL, NULL));
    CHECK_EQUAL(stopped, 2);
    store.struct_size--;
    CHECK_ERROR(primacy_config_set_store(config, &store, &stopped, &error), PRIMACY_E_STRUCT_SIZE);
    store.struct_size++;
#define WITHOUT(field)                                                                                \
    store.field = NULL;                                                                               \
    CHECK_ERROR(primacy_config_set_store(config, &store, &stopped, &error), PRIMACY_E_NULL);           \
    store.field = every_store.field
    WITHOUT(grant);
    WITHOUT(keep_alive);
    WITHOUT(revoke);
    WITHOUT(txn);
    WITHOUT(watch);
    WITHOUT(unwatch);
#undef WITHOUT
    CHECK_ERROR(primacy_config_set_store(0, &store, &stopped, &error), PRIMACY_E_HANDLE);
    CHECK_EQUAL(stopped, 2);
    CHECK_OK(primacy_config_set_store(config, &store, &stopped, NULL));
    CHECK_OK(primacy_config_free(config));
    CHECK_EQUAL(stopped, 3);
}

static void an_observer_that_does_not_open_leaves_user_data_alone(void) {
    int stopped = 0;
    const primacy_observer_callbacks callbacks = {.struct_size = sizeof callbacks, .on_stopped = count};
    primacy_config config;
    primacy_observer observer = 1;
    CHECK_OK(primacy_config_new(&config));
    CHECK_OK(primacy_config_set(config, "etcd.endpoints", "127.0.0.1:1", NULL));
    CHECK_OK(primacy_config_set(config, "etcd.requestTimeout", "100", NULL));
    CHECK_ERROR(primacy_observer_open(config, "rootcoord-2", &callbacks, &stopped, &observer, &error),
                PRIMACY_E_ROLE);
    CHECK_ERROR(primacy_observer_open(config, NULL, &callbacks, &stopped, &observer, &error), PRIMACY_E_NULL);
    CHECK_ERROR(primacy_observer_open(config, "rootcoord", &callbacks, &stopped, NULL, &error),
                PRIMACY_E_NULL);
    CHECK_ERROR(
        primacy_observer_open(config, "rootcoord", &callbacks, &stopped, &observer, &error),
        PRIMACY_E_UNREACHABLE);
    CHECK_EQUAL(observer, 0);
    CHECK_OK(primacy_config_free(config));
    CHECK_EQUAL(stopped, 0);
}

static void a_transaction_takes_bytes_and_refuses_none(void) {
    primacy_txn txn;
    CHECK_EQUAL(primacy_txn_new(NULL), PRIMACY_E_NULL);
    CHECK_OK(primacy_txn_new(&txn));
    CHECK_OK(primacy_txn_put(txn, "\0\xff", 2, NULL, 0));
    CHECK_OK(primacy_txn_compare_value(txn, "k", 1, NULL, 0));
    CHECK_EQUAL(primacy_txn_put(txn, "", 0, "v", 1), PRIMACY_E_ARGUMENT);
    CHECK_EQUAL(primacy_txn_put(txn, NULL, 1, "v", 1), PRIMACY_E_NULL);
    CHECK_EQUAL(primacy_txn_put(txn, "k", 1, NULL, 1), PRIMACY_E_NULL);
    CHECK_EQUAL(primacy_txn_put(txn, "k", SIZE_MAX, "v", 1), PRIMACY_E_ARGUMENT);
    CHECK_EQUAL(primacy_txn_delete(txn, NULL, 0), PRIMACY_E_ARGUMENT);
    CHECK_EQUAL(primacy_txn_get_prefix(txn, "", 0), PRIMACY_E_ARGUMENT);
    CHECK_OK(primacy_txn_free(txn));
    CHECK_EQUAL(primacy_txn_get(txn, "k", 1), PRIMACY_E_HANDLE);
    CHECK_EQUAL(primacy_txn_free(txn), PRIMACY_E_HANDLE);
}

/* Every function that takes a handle, with one that is none. */
static void refuse_everywhere(uint64_t handle) {
    const primacy_candidate candidate = {
        .struct_size = sizeof candidate, .address = "127.0.0.1:1", .version = "1.0.0"};
    const primacy_callbacks callbacks = {
        .struct_size = sizeof callbacks, .on_primary = on_call, .on_lost = on_call};
    const primacy_log log = {.struct_size = sizeof log, .level = PRIMACY_LOG_INFO, .on_line = on_line};
    primacy_key_value kv = {.struct_size = sizeof kv};
    primacy_primary primary = {.struct_size = sizeof primary};
    primacy_session_state session_state = {.struct_size = sizeof session_state};
    primacy_election_state election_state = {.struct_size = sizeof election_state};
    primacy_event event = {.struct_size = sizeof event};
    int32_t fd;
    uint64_t made;
    int64_t number;
    size_t size;
    char *json;
    primacy_status status;

    CHECK_EQUAL(primacy_config_set(handle, "common.session.ttl", "20", NULL), PRIMACY_E_HANDLE);
    CHECK_EQUAL(primacy_config_set_log(handle, &log, NULL, NULL), PRIMACY_E_HANDLE);
    CHECK_EQUAL(primacy_config_set_store(handle, &every_store, NULL, NULL), PRIMACY_E_HANDLE);
    CHECK_EQUAL(primacy_request_complete(handle, NULL, NULL), PRIMACY_E_HANDLE);
    CHECK_EQUAL(primacy_watch_confirmed(handle), PRIMACY_E_HANDLE);
    CHECK_EQUAL(primacy_watch_events(handle, NULL, 0, NULL), PRIMACY_E_HANDLE);
    CHECK_EQUAL(primacy_watch_ended(handle, NULL), PRIMACY_E_HANDLE);
    CHECK_EQUAL(primacy_config_free(handle), PRIMACY_E_HANDLE);
    CHECK_EQUAL(primacy_session_open(handle, &candidate, &made, NULL), PRIMACY_E_HANDLE);
    CHECK_EQUAL(primacy_session_start_open(handle, &candidate, on_result, NULL, &made, NULL), PRIMACY_E_HANDLE);
    CHECK_EQUAL(primacy_session_start_open(handle, &candidate, NULL, NULL, &made, NULL), PRIMACY_E_NULL);
    CHECK_EQUAL(primacy_session_server_id(handle, &number), PRIMACY_E_HANDLE);
    CHECK_EQUAL(primacy_session_register(handle, "rootcoord", &callbacks, NULL, &made, NULL),
                PRIMACY_E_HANDLE);
    CHECK_EQUAL(primacy_session_read(handle, handle, 10, &made, NULL), PRIMACY_E_HANDLE);
    CHECK_EQUAL(primacy_session_snapshot_json(handle, &json, NULL), PRIMACY_E_HANDLE);
    CHECK_EQUAL(primacy_session_health_json(handle, &json, NULL), PRIMACY_E_HANDLE);
    CHECK_EQUAL(primacy_session_health_json(handle, NULL, NULL), PRIMACY_E_NULL);
    CHECK_EQUAL(primacy_session_mark_stopping(handle), PRIMACY_E_HANDLE);
    CHECK_EQUAL(primacy_session_stop(handle, 10), PRIMACY_E_HANDLE);
    CHECK_EQUAL(primacy_session_join(handle, 10), PRIMACY_E_HANDLE);
    CHECK_EQUAL(primacy_session_close(handle, 10, 0, NULL), PRIMACY_E_HANDLE);
    CHECK_EQUAL(primacy_session_start_read(handle, handle, 10, on_result, NULL, NULL), PRIMACY_E_HANDLE);
    CHECK_EQUAL(primacy_session_start_read(handle, handle, 10, NULL, NULL, NULL), PRIMACY_E_NULL);
    CHECK_EQUAL(primacy_session_free(handle), PRIMACY_E_HANDLE);
    CHECK_EQUAL(primacy_election_close(handle, 10, 0, NULL), PRIMACY_E_HANDLE);
    CHECK_EQUAL(primacy_election_watch(handle, NULL, on_change, NULL), PRIMACY_E_HANDLE);
    CHECK_EQUAL(primacy_election_watch(handle, NULL, NULL, NULL), PRIMACY_E_NULL);
    CHECK_EQUAL(primacy_election_start_commit(handle, 1, handle, 10, on_result, NULL, NULL), PRIMACY_E_HANDLE);
    CHECK_EQUAL(primacy_election_start_commit(handle, 1, handle, 10, NULL, NULL, NULL), PRIMACY_E_NULL);
    CHECK_EQUAL(primacy_election_campaign(handle), PRIMACY_E_HANDLE);
    CHECK_EQUAL(primacy_election_transfer(handle, 0), PRIMACY_E_HANDLE);
    CHECK_EQUAL(primacy_election_healthy(handle), PRIMACY_E_HANDLE);
    CHECK_EQUAL(primacy_election_resign(handle), PRIMACY_E_HANDLE);
    CHECK_EQUAL(primacy_election_stop(handle, 10), PRIMACY_E_HANDLE);
    CHECK_EQUAL(primacy_election_join(handle, 10), PRIMACY_E_HANDLE);
    CHECK_EQUAL(primacy_election_free(handle), PRIMACY_E_HANDLE);
    CHECK_EQUAL(primacy_election_complete(handle, 1, PRIMACY_DONE, NULL), PRIMACY_E_HANDLE);
    CHECK_EQUAL(primacy_election_is_cancelled(handle, 1), 1);
    number = 1;
    CHECK_EQUAL(primacy_election_is_primary(handle, &number, &status), 0);
    CHECK_EQUAL(number, 0);
    CHECK_EQUAL(status, PRIMACY_E_HANDLE);
    CHECK_EQUAL(primacy_election_is_primary(handle, NULL, NULL), 0);
    CHECK_EQUAL(primacy_election_remaining_ms(handle, &status), 0);
    CHECK_EQUAL(status, PRIMACY_E_HANDLE);
    CHECK_EQUAL(primacy_election_commit(handle, 1, handle, 10, &made, NULL), PRIMACY_E_HANDLE);
    CHECK_EQUAL(primacy_txn_compare_mod_revision(handle, "k", 1, 1), PRIMACY_E_HANDLE);
    CHECK_EQUAL(primacy_txn_compare_version(handle, "k", 1, 1), PRIMACY_E_HANDLE);
    CHECK_EQUAL(primacy_txn_compare_value(handle, "k", 1, "v", 1), PRIMACY_E_HANDLE);
    CHECK_EQUAL(primacy_txn_compare_absent(handle, "k", 1), PRIMACY_E_HANDLE);
    CHECK_EQUAL(primacy_txn_put(handle, "k", 1, "v", 1), PRIMACY_E_HANDLE);
    CHECK_EQUAL(primacy_txn_delete(handle, "k", 1), PRIMACY_E_HANDLE);
    CHECK_EQUAL(primacy_txn_get(handle, "k", 1), PRIMACY_E_HANDLE);
    CHECK_EQUAL(primacy_txn_get_prefix(handle, "k", 1), PRIMACY_E_HANDLE);
    CHECK_EQUAL(primacy_txn_free(handle), PRIMACY_E_HANDLE);
    CHECK_EQUAL(primacy_result_revision(handle, &number), PRIMACY_E_HANDLE);
    CHECK_EQUAL(primacy_result_count(handle, 0, &size), PRIMACY_E_HANDLE);
    CHECK_EQUAL(primacy_result_key_value(handle, 0, 0, &kv), PRIMACY_E_HANDLE);
    CHECK_EQUAL(primacy_result_free(handle), PRIMACY_E_HANDLE);
    CHECK_EQUAL(primacy_observer_open(handle, "rootcoord", NULL, NULL, &made, NULL), PRIMACY_E_HANDLE);
    CHECK_EQUAL(primacy_observer_current(handle, &primary), PRIMACY_E_HANDLE);
    CHECK_EQUAL(primacy_observer_wait(handle, 0, 10, &primary), PRIMACY_E_HANDLE);
    CHECK_EQUAL(primacy_observer_wait_ready(handle, 10, &primary), PRIMACY_E_HANDLE);
    CHECK_EQUAL(primacy_observer_free(handle), PRIMACY_E_HANDLE);
    CHECK_EQUAL(primacy_observer_open_queued(handle, "rootcoord", handle, 1, &made, NULL), PRIMACY_E_HANDLE);
    CHECK_EQUAL(primacy_session_register_queued(handle, "rootcoord", handle, 1, &made, NULL),
                PRIMACY_E_HANDLE);
    CHECK_EQUAL(primacy_session_snapshot(handle, &session_state), PRIMACY_E_HANDLE);
    CHECK_EQUAL(primacy_election_snapshot(handle, &election_state), PRIMACY_E_HANDLE);
    CHECK_EQUAL(primacy_election_recording(handle, &json), PRIMACY_E_HANDLE);
    CHECK_EQUAL(primacy_election_guard(handle, 1, &made), PRIMACY_E_HANDLE);
    fd = 0;
    CHECK_EQUAL(primacy_queue_fd(handle, &fd), PRIMACY_E_HANDLE);
    CHECK_EQUAL(fd, -1);
    CHECK_EQUAL(primacy_queue_next(handle, 0, &event), PRIMACY_E_HANDLE);
    CHECK_EQUAL(primacy_queue_wake(handle, 1), PRIMACY_E_HANDLE);
    CHECK_EQUAL(primacy_queue_free(handle), PRIMACY_E_HANDLE);
}

/* Of each kind: one that was good a moment ago. */
static void freed_handles_are_refused(void) {
    const primacy_candidate candidate = {
        .struct_size = sizeof candidate, .address = "127.0.0.1:1", .version = "1.0.0"};
    const primacy_callbacks callbacks = {
        .struct_size = sizeof callbacks, .on_primary = on_call, .on_lost = on_call};
    primacy_config config;
    primacy_session session;
    primacy_election election;
    primacy_observer observer;
    primacy_queue queue;
    primacy_txn txn;
    primacy_result result;
    CHECK_OK(primacy_config_new(&config));
    CHECK_OK(primacy_config_set(config, "etcd.endpoints", "mem://misuse", NULL));
    CHECK_OK(primacy_config_set(config, "primacy.allow_memory_store", "true", NULL));
    CHECK_OK(primacy_session_open(config, &candidate, &session, NULL));
    CHECK_OK(primacy_session_register(session, "rootcoord", &callbacks, NULL, &election, NULL));
    CHECK_OK(primacy_observer_open(config, "rootcoord", NULL, NULL, &observer, NULL));
    CHECK_OK(primacy_queue_new(&queue, NULL));
    CHECK_OK(primacy_txn_new(&txn));
    CHECK_OK(primacy_txn_get(txn, "k", 1));
    CHECK_OK(primacy_session_read(session, txn, 10000, &result, NULL));
    CHECK_OK(primacy_result_free(result));
    refuse_everywhere(result);
    CHECK_OK(primacy_txn_free(txn));
    refuse_everywhere(txn);
    CHECK_OK(primacy_queue_free(queue));
    refuse_everywhere(queue);
    CHECK_OK(primacy_observer_free(observer));
    refuse_everywhere(observer);
    CHECK_OK(primacy_election_free(election));
    refuse_everywhere(election);
    CHECK_OK(primacy_session_free(session));
    refuse_everywhere(session);
    CHECK_OK(primacy_config_free(config));
    refuse_everywhere(config);
}

static uint64_t random_number(uint64_t *seed) {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static void *refuse_random_handles(void *seed) {
    for (int i = 0; i < 5000; i++) {
        uint64_t random = random_number(seed);
        refuse_everywhere(random);
        refuse_everywhere(random & UINT64_C(0x3ffffffff)); /* near those that were given out */
    }
    return NULL;
}

static void no_made_up_handle_does_anything(void) {
    primacy_config config;
    pthread_t threads[4];
    uint64_t seeds[4];
    CHECK_OK(primacy_config_new(&config));
    CHECK_OK(primacy_config_free(config));
    refuse_everywhere(0);
    refuse_everywhere(UINT64_MAX);
    refuse_everywhere(config);
    for (int i = 0; i < 4; i++) {
        seeds[i] = UINT64_C(0x9e3779b97f4a7c15) * (uint64_t)(i + 1);
        CHECK_EQUAL(pthread_create(&threads[i], NULL, refuse_random_handles, &seeds[i]), 0);
    }
    for (int i = 0; i < 4; i++)
        CHECK_EQUAL(pthread_join(threads[i], NULL), 0);
}

int main(void) {
    the_version_is_the_headers();
    every_status_has_its_sentence();
    an_error_object_may_be_null();
    a_configuration_refuses_what_it_does_not_know();
    settings_that_do_not_fit_together_open_nothing();
    structs_may_be_older_or_newer();
    a_candidate_says_what_it_lacks();
    a_log_is_let_go_of_once();
    a_lent_store_has_all_its_functions_and_is_let_go_of_once();
    an_observer_that_does_not_open_leaves_user_data_alone();
    a_transaction_takes_bytes_and_refuses_none();
    freed_handles_are_refused();
    no_made_up_handle_does_anything();
    return 0;
}
