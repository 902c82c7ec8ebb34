/* A host of an installed library: it is the one of its header, and says so if it was built without a store in memory.
 */
#include "check.h"

int main(void) {
    const primacy_candidate candidate = {
        .struct_size = sizeof candidate, .address = "127.0.0.1:1", .version = "1.0.0"};
    primacy_config config;
    primacy_session session;
    primacy_error *error;
    CHECK(strcmp(primacy_version(), PRIMACY_VERSION) == 0);
    CHECK_OK(primacy_config_new(&config));
    CHECK_OK(primacy_config_set(config, "etcd.endpoints", "mem://installed", NULL));
    CHECK_OK(primacy_config_set(config, "primacy.allow_memory_store", "true", NULL));
    primacy_status status = primacy_session_open(config, &candidate, &session, &error);
    if (status == PRIMACY_OK) {
        CHECK_OK(primacy_session_free(session));
    } else {
        CHECK_EQUAL(status, PRIMACY_E_CONFIG_RELATION);
        CHECK(strstr(primacy_error_message(error), "without the store in memory") != NULL);
        primacy_error_free(error);
    }
    CHECK_OK(primacy_config_free(config));
    return 0;
}
