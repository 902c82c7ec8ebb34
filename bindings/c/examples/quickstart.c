/* One candidate for the role `greeter`: becomes primary or waits as a standby, and writes under its token. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "primacy.h"

static volatile sig_atomic_t told_to_stop;

static void on_signal(int number) {
    told_to_stop = number;
}

static int32_t on_primary(void *user_data, const primacy_call *call) {
    (void)user_data;
    const char *key = "by-dev/meta/greeter/primary-since", *value = "now"; /* below the root of the settings */
    primacy_txn txn;
    primacy_txn_new(&txn);
    primacy_txn_put(txn, key, strlen(key), value, strlen(value));
    /* Commits only while this win holds the lock: never after another process has taken over. */
    primacy_status status = primacy_election_commit(call->election, call->token, txn, 5000, NULL, NULL);
    primacy_txn_free(txn);
    printf("primary, token %" PRId64 ": %s\n", call->token, primacy_status_string(status));
    return status == PRIMACY_OK ? PRIMACY_DONE : PRIMACY_FAILED;
}

static int32_t on_lost(void *user_data, const primacy_call *call) {
    (void)user_data;
    printf("lost token %" PRId64 ": %s\n", call->token, primacy_lost_string(call->reason));
    return PRIMACY_DONE;
}

int main(int argc, char **argv) {
    primacy_config config;
    primacy_session session;
    primacy_election election;
    primacy_error *error;
    primacy_candidate candidate = {.struct_size = sizeof candidate, .address = "127.0.0.1:53100", .version = "1.0.0"};
    primacy_callbacks callbacks = {.struct_size = sizeof callbacks, .on_primary = on_primary, .on_lost = on_lost};

    setvbuf(stdout, NULL, _IOLBF, 0); /* each line at once, also where stdout is no terminal */
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    primacy_config_new(&config);
    primacy_config_set(config, "etcd.endpoints", argc > 1 ? argv[1] : "localhost:2379", NULL);
    if (primacy_session_open(config, &candidate, &session, &error) != PRIMACY_OK
        || primacy_session_register(session, "greeter", &callbacks, NULL, &election, &error) != PRIMACY_OK) {
        fprintf(stderr, "%s\n", primacy_error_message(error));
        return 1;
    }
    primacy_election_campaign(election);
    while (!told_to_stop) { /* a real program serves here */
        printf("primary: %d\n", primacy_election_is_primary(election, NULL, NULL));
        sleep(1);
    }
    /* on_lost, then a standby takes over at once; else one waits for the lease */
    return primacy_session_close(session, 5000, 0, NULL) == PRIMACY_OK ? 0 : 1;
}
