/* Checks for the C tests: the first that does not hold ends the program, and says where. */
#ifndef CHECK_H
#define CHECK_H

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "primacy.h"

#define CHECK(condition)                                                                              \
    do {                                                                                              \
        if (!(condition)) {                                                                           \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);            \
            abort();                                                                                  \
        }                                                                                             \
    } while (0)

#define CHECK_EQUAL(left, right)                                                                      \
    do {                                                                                              \
        int64_t left_ = (int64_t)(left), right_ = (int64_t)(right);                                   \
        if (left_ != right_) {                                                                        \
            fprintf(stderr, "%s:%d: %s is %" PRId64 ", not %s = %" PRId64 "\n", __FILE__, __LINE__, #left,  \
                    left_, #right, right_);                                                           \
            abort();                                                                                  \
        }                                                                                             \
    } while (0)

/* The call, given `&error`, answers this status, with an error object that bears it and a message. */
#define CHECK_ERROR(call, expected)                                                                   \
    do {                                                                                              \
        primacy_error *error = (primacy_error *)&error;                                               \
        CHECK_EQUAL(call, expected);                                                                  \
        CHECK_EQUAL(primacy_error_status(error), expected);                                           \
        CHECK((error == NULL) == ((expected) == PRIMACY_OK));                                         \
        CHECK((strlen(primacy_error_message(error)) > 0) == ((expected) != PRIMACY_OK));              \
        primacy_error_free(error);                                                                    \
    } while (0)

#define CHECK_OK(call) CHECK_EQUAL(call, PRIMACY_OK)

/* Waits until the condition holds, for as long as a loaded machine may need. */
#define AWAIT(condition)                                                                              \
    do {                                                                                              \
        struct timespec pause_ = {0, 2000000};                                                        \
        int tries_ = 0;                                                                               \
        for (; tries_ < 7500 && !(condition); tries_++)                                               \
            nanosleep(&pause_, NULL);                                                                 \
        if (tries_ == 7500) {                                                                         \
            fprintf(stderr, "%s:%d: not within 15 s: %s\n", __FILE__, __LINE__, #condition);          \
            abort();                                                                                  \
        }                                                                                             \
    } while (0)

#endif
