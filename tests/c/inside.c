/* Every function, called inside every callback: it answers what the header says, nothing hangs, and whatever is ended
 * in there ends. Needs no etcd.
 */
#define _POSIX_C_SOURCE 200809L
#include <stdatomic.h>
#include <stdbool.h>
#include <unistd.h>

#include "every_call.h"

enum where {
    STANDBY,
    WARMUP,
    PRIMARY,
    LOST,
    /* What must return soon: from here on, calls that wait are refused. */
    CANCELLED,
    NOTICE,
    STOPPED,
    CHANGE,
    OBSERVER_STOPPED,
    LINE,
    LOG_STOPPED,
    WHERES,
};

/* One host that calls everything in one of its callbacks, and ends one thing or all of them there. */
struct scenario {
    struct things things;
    enum where where;
    const char *ends; /* the function that ends something; "": none, "*": all of them */
    atomic_bool ready, visited;
    atomic_int standby, warmup, primary, stopped, observer_stopped, log_stopped;
};

static char root[64];

static void check_answer(const struct scenario *scenario, size_t i, primacy_status status) {
    const bool telling = scenario->where >= CANCELLED;
    const bool refused = every_call[i].sort == JOINS || (every_call[i].sort == WAITS && telling);
    /* The others that a call with good arguments may answer, depending on where the election stands. */
    const primacy_status may[] = {PRIMACY_OK, PRIMACY_E_NOT_PRIMARY, PRIMACY_E_CONFLICT, PRIMACY_E_CALL,
                                  PRIMACY_E_STOPPED};
    bool good = refused && status == PRIMACY_E_DEADLOCK;
    for (size_t j = 0; j < sizeof may / sizeof *may && !refused; j++)
        good |= status == may[j];
    /* These come after a free. */
    if (scenario->where == OBSERVER_STOPPED || scenario->where == LOG_STOPPED)
        good |= status == PRIMACY_E_HANDLE;
    if (!good) {
        fprintf(stderr, "callback %d, ending by \"%s\": %s answers %d, %s\n", scenario->where, scenario->ends,
                every_call[i].name, (int)status, primacy_status_string(status));
        abort();
    }
}

static void visit(struct scenario *scenario, enum where where) {
    const struct timespec pause = {0, 1000000};
    if (scenario->where != where)
        return;
    while (!scenario->ready)
        nanosleep(&pause, NULL);
    if (atomic_exchange(&scenario->visited, true))
        return;
    for (size_t i = 0; i < EVERY_CALL_COUNT; i++)
        if (every_call[i].sort < ENDS)
            check_answer(scenario, i, every_call[i].call(&scenario->things));
    for (size_t i = 0; i < EVERY_CALL_COUNT; i++)
        if (every_call[i].sort >= ENDS
            && (strcmp(scenario->ends, "*") == 0 || strcmp(scenario->ends, every_call[i].name) == 0))
            check_answer(scenario, i, every_call[i].call(&scenario->things));
}

static int32_t on_standby(void *user_data, const primacy_call *call) {
    struct scenario *scenario = user_data;
    (void)call;
    visit(scenario, STANDBY);
    scenario->standby++;
    return PRIMACY_DONE;
}

static int32_t on_warmup(void *user_data, const primacy_call *call) {
    struct scenario *scenario = user_data;
    (void)call;
    visit(scenario, WARMUP);
    scenario->warmup++;
    return PRIMACY_PENDING; /* until it is cancelled */
}

static void on_cancelled(void *user_data, uint64_t call) {
    struct scenario *scenario = user_data;
    visit(scenario, CANCELLED);
    primacy_status status = primacy_election_complete(scenario->things.election, call, PRIMACY_DONE, NULL);
    CHECK(status == PRIMACY_OK || status == PRIMACY_E_CALL); /* the latter: of a call that has returned */
}

static int32_t on_primary(void *user_data, const primacy_call *call) {
    struct scenario *scenario = user_data;
    if (scenario->where == PRIMARY)
        scenario->things.token = call->token;
    visit(scenario, PRIMARY);
    scenario->primary++;
    return PRIMACY_DONE;
}

static int32_t on_lost(void *user_data, const primacy_call *call) {
    struct scenario *scenario = user_data;
    if (scenario->where == LOST)
        scenario->things.token = call->token;
    visit(scenario, LOST);
    return PRIMACY_DONE;
}

static void on_notice(void *user_data, const primacy_notice *notice) {
    (void)notice;
    visit(user_data, NOTICE);
}

static void on_stopped(void *user_data) {
    struct scenario *scenario = user_data;
    visit(scenario, STOPPED);
    scenario->stopped++;
}

static void on_change(void *user_data, const primacy_primary *primary) {
    (void)primary;
    visit(user_data, CHANGE);
}

static void on_observer_stopped(void *user_data) {
    struct scenario *scenario = user_data;
    visit(scenario, OBSERVER_STOPPED);
    scenario->observer_stopped++;
}

static void on_line(void *user_data, int32_t level, const char *text) {
    (void)level, (void)text;
    visit(user_data, LINE);
}

static void on_log_stopped(void *user_data) {
    struct scenario *scenario = user_data;
    visit(scenario, LOG_STOPPED);
    scenario->log_stopped++;
}

static primacy_config new_config(void) {
    primacy_config config;
    CHECK_OK(primacy_config_new(&config));
    CHECK_OK(primacy_config_set(config, "etcd.endpoints", "mem://inside", NULL));
    CHECK_OK(primacy_config_set(config, "etcd.rootPath", root, NULL));
    CHECK_OK(primacy_config_set(config, "primacy.allow_memory_store", "true", NULL));
    return config;
}

/* A candidate that does nothing of its own. */
static primacy_session open_other(primacy_election *election) {
    primacy_config config = new_config();
    primacy_session session;
    CHECK_ERROR(primacy_session_open(config, &every_candidate, &session, &error), PRIMACY_OK);
    CHECK_OK(primacy_config_free(config));
    CHECK_OK(primacy_session_register(session, "rootcoord", &every_callbacks, NULL, election, NULL));
    CHECK_OK(primacy_election_campaign(*election));
    return session;
}

static void make_things(struct scenario *scenario) {
    struct things *t = &scenario->things;
    const primacy_log log = {
        .struct_size = sizeof log, .level = PRIMACY_LOG_DEBUG, .on_line = on_line, .on_stopped = on_log_stopped};
    const primacy_observer_callbacks watching = {
        .struct_size = sizeof watching, .on_change = on_change, .on_stopped = on_observer_stopped};
    const primacy_callbacks callbacks = {.struct_size = sizeof callbacks,
                                         .on_standby = on_standby,
                                         .on_warmup = on_warmup,
                                         .on_primary = on_primary,
                                         .on_lost = on_lost,
                                         .on_cancelled = on_cancelled,
                                         .on_notice = on_notice,
                                         .on_stopped = on_stopped};
    t->config = new_config();
    CHECK_OK(primacy_config_set_log(t->config, &log, scenario, NULL));
    CHECK_OK(primacy_txn_new(&t->txn));
    CHECK_OK(primacy_txn_new(&t->gets));
    CHECK_OK(primacy_txn_get_prefix(t->gets, root, strlen(root)));
    CHECK_OK(primacy_queue_new(&t->queue, NULL));
    CHECK_OK(primacy_session_open(t->config, &every_candidate, &t->session, NULL));
    CHECK_OK(primacy_session_read(t->session, t->gets, 10000, &t->result, NULL));
    CHECK_OK(primacy_observer_open(t->config, "rootcoord", &watching, scenario, &t->observer, NULL));
    CHECK_OK(primacy_session_register(t->session, "rootcoord", &callbacks, scenario, &t->election, NULL));
    scenario->ready = true;
    CHECK_OK(primacy_election_campaign(t->election));
}

/* What is ended already has no handle any more. */
static void check_ended(primacy_status status) {
    CHECK(status == PRIMACY_OK || status == PRIMACY_E_HANDLE);
}

static void run(enum where where, const char *ends) {
    struct scenario scenario = {.where = where, .ends = ends};
    struct things *t = &scenario.things;
    primacy_election other;
    static int count;
    snprintf(root, sizeof root, "inside-%d", count++);

    primacy_session others = open_other(&other);
    AWAIT(primacy_election_is_primary(other, NULL, NULL) == 1);
    make_things(&scenario);
    AWAIT((scenario.standby > 0 && scenario.warmup > 0) || scenario.visited);
    CHECK_OK(primacy_election_resign(other));
    AWAIT(scenario.primary > 0 || scenario.visited);

    primacy_session_stop(t->session, 10000);
    check_ended(primacy_session_join(t->session, 20000));
    AWAIT(scenario.stopped == 1);
    check_ended(primacy_observer_free(t->observer));
    AWAIT(scenario.observer_stopped == 1);
    check_ended(primacy_election_free(t->election));
    check_ended(primacy_session_free(t->session));
    check_ended(primacy_queue_free(t->queue));
    check_ended(primacy_txn_free(t->txn));
    check_ended(primacy_txn_free(t->gets));
    check_ended(primacy_result_free(t->result));
    check_ended(primacy_config_free(t->config));
    AWAIT(scenario.log_stopped == 1);
    CHECK(scenario.visited);
    CHECK_EQUAL(scenario.stopped, 1);
    CHECK_EQUAL(scenario.observer_stopped, 1);
    CHECK_OK(primacy_session_free(others));
    CHECK_OK(primacy_election_free(other));
}

int main(void) {
    static const char *const endings[] = {
        "",
        "primacy_election_resign",
        "primacy_election_stop",
        "primacy_session_stop",
        "primacy_election_free",
        "primacy_session_free",
        "primacy_observer_free",
        "*",
    };
    primacy_election election;
    /* Keeps the library's threads and the store, which would come and go with each scenario. */
    snprintf(root, sizeof root, "keeper");
    primacy_session keeper = open_other(&election);
    for (enum where where = STANDBY; where < WHERES; where++)
        for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
            alarm(60); /* what hangs ends the program */
            run(where, endings[i]);
        }
    CHECK_OK(primacy_session_free(keeper));
    CHECK_OK(primacy_election_free(election));
    return 0;
}
