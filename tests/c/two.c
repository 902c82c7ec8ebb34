/* A program with two Rust static libraries in it: each catches its own panic. */
#include "check.h"

int32_t second_catches_its_panic(void);
primacy_status primacy_defect(primacy_error **error_out);

int main(void) {
    for (int i = 0; i < 3; i++) {
        primacy_error *error;
        CHECK_EQUAL(primacy_defect(&error), PRIMACY_E_INTERNAL);
        CHECK(strstr(primacy_error_message(error), "defect.rs:") != NULL); /* where */
        primacy_error_free(error);
        CHECK_EQUAL(second_catches_its_panic(), 1);
    }
    primacy_config config;
    CHECK_OK(primacy_config_new(&config));
    CHECK_OK(primacy_config_free(config));
    return 0;
}
