/* A host's unit test that needs no server: the four callbacks, on a store inside the process (mem://NAME). */
#define _POSIX_C_SOURCE 200809L
#include <stdatomic.h>
#include <stdbool.h>

#include "check.h"

struct host {
    atomic_int standby, warmup, primary, lost, stopped;
    atomic_int reason;
    _Atomic int64_t token;
};

static int32_t on_standby(void *user_data, const primacy_call *call) {
    struct host *host = user_data;
    CHECK_EQUAL(call->kind, PRIMACY_CALL_STANDBY);
    host->standby++;
    return PRIMACY_DONE;
}

static int32_t on_warmup(void *user_data, const primacy_call *call) {
    struct host *host = user_data;
    CHECK_EQUAL(call->kind, PRIMACY_CALL_WARMUP);
    CHECK(host->standby > 0);
    host->warmup++;
    return PRIMACY_WARM;
}

static int32_t on_primary(void *user_data, const primacy_call *call) {
    struct host *host = user_data;
    CHECK_EQUAL(call->kind, PRIMACY_CALL_PRIMARY);
    CHECK_EQUAL(primacy_election_is_primary(call->election, NULL, NULL), 1);
    host->token = call->token;
    host->primary++;
    return PRIMACY_DONE;
}

static int32_t on_lost(void *user_data, const primacy_call *call) {
    struct host *host = user_data;
    CHECK_EQUAL(call->kind, PRIMACY_CALL_LOST);
    CHECK_EQUAL(call->token, host->token);
    CHECK_EQUAL(primacy_election_is_primary(call->election, NULL, NULL), 0);
    host->reason = call->reason;
    host->lost++;
    return PRIMACY_DONE;
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
    .on_stopped = on_stopped,
};

static primacy_config new_config(bool allowed) {
    primacy_config config;
    CHECK_OK(primacy_config_new(&config));
    CHECK_OK(primacy_config_set(config, "etcd.endpoints", "mem://unit-test", NULL));
    if (allowed)
        CHECK_OK(primacy_config_set(config, "primacy.allow_memory_store", "true", NULL));
    return config;
}

static primacy_session open_session(const char *address) {
    const primacy_candidate candidate = {
        .struct_size = sizeof candidate, .address = address, .version = "1.0.0"};
    primacy_config config = new_config(true);
    primacy_session session;
    CHECK_ERROR(primacy_session_open(config, &candidate, &session, &error), PRIMACY_OK);
    CHECK_OK(primacy_config_free(config));
    return session;
}

/* Each process would be primary of its own: nobody gets that by a slip of the pen. */
static void without_leave_nothing_is_opened(void) {
    const primacy_candidate candidate = {
        .struct_size = sizeof candidate, .address = "127.0.0.1:1", .version = "1.0.0"};
    primacy_config config = new_config(false);
    primacy_session session = 1;
    primacy_error *error = NULL;
    CHECK_EQUAL(primacy_session_open(config, &candidate, &session, &error), PRIMACY_E_CONFIG_RELATION);
    CHECK(strstr(primacy_error_message(error), "primacy.allow_memory_store") != NULL);
    CHECK_EQUAL(session, 0);
    primacy_error_free(error);
    CHECK_OK(primacy_config_free(config));
}

static void a_standby_takes_over_from_a_primary_that_stops(void) {
    struct host one = {0}, two = {0};
    primacy_session sessions[2] = {open_session("127.0.0.1:1"), open_session("127.0.0.1:2")};
    primacy_election elections[2];
    CHECK_ERROR(primacy_session_register(sessions[0], "rootcoord", &callbacks, &one, &elections[0], &error),
                PRIMACY_OK);
    CHECK_OK(primacy_election_campaign(elections[0]));
    AWAIT(one.primary == 1);
    CHECK_EQUAL(one.standby, 0);

    CHECK_OK(primacy_session_register(sessions[1], "rootcoord", &callbacks, &two, &elections[1], NULL));
    CHECK_OK(primacy_election_campaign(elections[1]));
    AWAIT(two.warmup > 0);
    CHECK_EQUAL(two.standby, 1);
    CHECK_EQUAL(two.primary, 0);

    CHECK_OK(primacy_session_stop(sessions[0], 5000));
    AWAIT(two.primary == 1);
    CHECK_EQUAL(one.lost, 1);
    CHECK_EQUAL(one.reason, PRIMACY_LOST_STOPPED);
    CHECK(two.token > one.token);
    CHECK_OK(primacy_session_stop(sessions[1], 5000));
    for (int i = 0; i < 2; i++) {
        CHECK_OK(primacy_session_join(sessions[i], 15000));
        CHECK_OK(primacy_session_free(sessions[i]));
    }
    CHECK_EQUAL(two.lost, 1);
    AWAIT(one.stopped == 1 && two.stopped == 1);
}

int main(void) {
    without_leave_nothing_is_opened();
    a_standby_takes_over_from_a_primary_that_stops();
    return 0;
}
