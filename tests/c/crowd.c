/* One process with a thousand elections on one session: one connection to etcd, few threads, little memory, and no
 * more renewals than one election needs.
 *
 *     crowd ENDPOINT
 */
#define _GNU_SOURCE
#include <stdatomic.h>

#include "process.h"

enum { ELECTIONS = 1000, AT_ONCE = 50, TTL_S = 6, WITHIN_MS = 30000, RENEWALS = 4 };

static const char *endpoint;
static atomic_int primary, lost, stopped;

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

static void on_stopped(void *user_data) {
    (void)user_data;
    stopped++;
}

/* Each is a stream of its own. */
static double renewals(void) {
    return counted(endpoint, "grpc_server_started_total", "\"LeaseKeepAlive\"");
}

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* How many seconds a few renewals take. */
static double pace(void) {
    double first = renewals();
    AWAIT(renewals() > first);
    const double start = seconds();
    first = renewals();
    AWAIT(renewals() >= first + RENEWALS);
    return seconds() - start;
}

int main(int argc, char **argv) {
    static primacy_election elections[ELECTIONS];
    const primacy_candidate candidate = {
        .struct_size = sizeof candidate, .address = "127.0.0.1:1", .version = "1.0.0"};
    const primacy_callbacks callbacks = {
        .struct_size = sizeof callbacks, .on_primary = on_primary, .on_lost = on_lost, .on_stopped = on_stopped};
    primacy_config config;
    primacy_session session;
    char text[32];
    CHECK_EQUAL(argc, 2);
    endpoint = argv[1];

    CHECK_OK(primacy_config_new(&config));
    snprintf(text, sizeof text, "%d", TTL_S);
    CHECK_OK(primacy_config_set(config, "etcd.endpoints", endpoint, NULL));
    CHECK_OK(primacy_config_set(config, "common.session.ttl", text, NULL));
    CHECK_ERROR(primacy_session_open(config, &candidate, &session, &error), PRIMACY_OK);
    CHECK_OK(primacy_config_free(config));

    for (int i = 0; i < ELECTIONS; i++) {
        snprintf(text, sizeof text, "role%d", i);
        CHECK_OK(primacy_session_register(session, text, &callbacks, NULL, &elections[i], NULL));
        CHECK_OK(primacy_election_campaign(elections[i]));
        if (i % AT_ONCE == AT_ONCE - 1) /* a slow machine would make others of too many at once */
            AWAIT(primary == i + 1);
    }
    AWAIT(connections_to(port_of(endpoint)) == 1);
    AWAIT(threads() <= 8);
    /* A renewal every third of the TTL, and no more. */
    const double took = pace();
    CHECK(took > 0.8 * RENEWALS * TTL_S / 3);
    CHECK_EQUAL(connections_to(port_of(endpoint)), 1);
    CHECK(threads() <= 8);
    CHECK(status_of("VmRSS") > 0);
    CHECK_EQUAL(status_of("VmRSS") / (50 * 1000), 0); /* kB */
    CHECK_EQUAL(lost, 0);
    for (int i = 0; i < ELECTIONS; i++)
        CHECK_EQUAL(primacy_election_is_primary(elections[i], NULL, NULL), 1);

    CHECK_OK(primacy_session_stop(session, WITHIN_MS));
    CHECK_OK(primacy_session_join(session, WITHIN_MS));
    CHECK_EQUAL(stopped, ELECTIONS);
    CHECK_EQUAL(lost, ELECTIONS);
    CHECK_OK(primacy_session_free(session));
    for (int i = 0; i < ELECTIONS; i++)
        CHECK_OK(primacy_election_free(elections[i]));
    AWAIT(threads() == 1);
    return 0;
}
