/* A client of a coordinator: follows a role's primary through the library's observer, and keeps calling it.
 *
 *     client --etcd localhost:2379 --root by-dev/meta --role rootcoord [--interval-ms 20] [--set NAME=VALUE]
 *
 * It says on stdout which primary it is told of, and how each `append` went, one JSON object a line. SIGTERM
 * ends it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "primacy.h"

enum { CALL_MS = 500, RETRY_MS = 500 };

static const char *role;
static int signals;         /* readable: told to end */
static int primary_changed; /* readable: `latest` is another */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of stdout; of `latest` with `primary_changed` */
static primacy_primary latest;

static _Noreturn void fail(const char *what, const char *why) {
    fprintf(stderr, "client: %s: %s\n", what, why);
    exit(1);
}

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

/* One line, flushed at once: the event, then `more`, a format of further JSON members. */
static void say(const char *event, const char *more, ...) {
    va_list args;
    va_start(args, more);
    pthread_mutex_lock(&lock);
    printf("{\"t\":%" PRId64 ",\"role\":\"%s\",\"event\":\"%s\"", now(), role, event);
    vprintf(more, args);
    puts("}");
    fflush(stdout);
    pthread_mutex_unlock(&lock);
    va_end(args);
}

static void on_change(void *user_data, const primacy_primary *primary) {
    (void)user_data;
    if (primary->token == 0)
        say("none", "");
    else if (primary->token != latest.token) /* else it has become ready; nobody else writes to `latest` */
        say("primary", ",\"id\":%" PRId64 ",\"token\":%" PRId64 ",\"address\":\"%s\"", primary->server_id,
            primary->token, primary->address);
    pthread_mutex_lock(&lock);
    latest = *primary;
    eventfd_write(primary_changed, 1);
    pthread_mutex_unlock(&lock);
}

static primacy_primary take_latest(void) {
    eventfd_t ignored;
    pthread_mutex_lock(&lock);
    eventfd_read(primary_changed, &ignored);
    primacy_primary taken = latest;
    pthread_mutex_unlock(&lock);
    return taken;
}

/* What a wait ended with. */
enum woken { READY, LATE, CHANGED, ENDED };

/* Waits for `fd` (-1: for nothing but the time); ends early for another primary, or to end. */
static enum woken await(int fd, short events, int ms) {
    struct pollfd fds[] = {{signals, POLLIN, 0}, {primary_changed, POLLIN, 0}, {fd, events, 0}};
    int n = poll(fds, 3, ms);
    if (fds[0].revents != 0)
        return ENDED;
    if (fds[1].revents != 0)
        return CHANGED;
    return n > 0 ? READY : LATE;
}

/* A connection under way to HOST:PORT; -1: there can be none. */
static int dial(const char *address) {
    char host[PRIMACY_ADDRESS_SIZE];
    const char *colon = strrchr(address, ':');
    if (colon == NULL)
        return -1;
    bool v6 = address[0] == '[';
    snprintf(host, sizeof host, "%.*s", (int)(colon - address) - 2 * v6, address + v6);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *info;
    if (getaddrinfo(host, colon + 1, &hints, &info) != 0)
        return -1;
    int fd = socket(info->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, info->ai_addr, info->ai_addrlen) != 0 && errno != EINPROGRESS) {
        close(fd);
        fd = -1;
    }
    freeaddrinfo(info);
    return fd;
}

/* Sends `line` and reads one line into `answer`. READY: done. LATE: no answer in time, or no connection. */
static enum woken call(int fd, const char *line, char *answer, size_t size) {
    enum woken woken = await(fd, POLLOUT, CALL_MS);
    if (woken != READY)
        return woken;
    if (send(fd, line, strlen(line), MSG_NOSIGNAL) != (ssize_t)strlen(line))
        return LATE;
    for (size_t n = 0; n + 1 < size;) {
        woken = await(fd, POLLIN, CALL_MS);
        if (woken != READY)
            return woken;
        ssize_t more = recv(fd, answer + n, size - 1 - n, 0);
        if (more <= 0)
            return LATE;
        n += (size_t)more;
        answer[n] = 0;
        if (answer[n - 1] == '\n')
            return READY;
    }
    return LATE;
}

/* What stands after `"name":` in a line of the coordinator's, whose JSON may have spaces there; "": nothing. */
static const char *member(const char *line, const char *name) {
    const char *at = strstr(line, name);
    return at == NULL ? "" : at + strlen(name) + strspn(at + strlen(name), " ");
}

static int64_t number(const char *line, const char *name) {
    return strtoll(member(line, name), NULL, 10);
}

static void report(const char *answer, int64_t id) {
    if (strncmp(member(answer, "\"ok\":"), "true", 4) == 0) {
        say("ok", ",\"n\":%" PRId64 ",\"token\":%" PRId64 ",\"id\":%" PRId64, number(answer, "\"n\":"),
            number(answer, "\"token\":"), id);
        return;
    }
    const char *why = member(answer, "\"why\":");
    why = *why == '"' ? why + 1 : "no reason";
    say("refused", ",\"why\":\"%.*s\"", (int)strcspn(why, "\"\n"), why);
}

/* Calls the latest primary, once it is ready, every `interval_ms`, until told to end. Also when a call has failed: as long
 * as there is no other primary, it is the one to ask again. */
static void keep_calling(int interval_ms) {
    primacy_primary primary = {.struct_size = sizeof primary};
    int fd = -1;
    enum woken woken = CHANGED;
    for (unsigned long count = 1; woken != ENDED;) {
        if (woken == CHANGED) {
            primary = take_latest();
            if (fd >= 0)
                close(fd);
            fd = -1;
        }
        if (!primary.ready) {
            woken = await(-1, 0, -1);
            continue;
        }
        if (fd < 0)
            fd = dial(primary.address);
        char line[256], answer[4096];
        snprintf(line, sizeof line, "append %s call-%lu\n", role, count++);
        woken = fd < 0 ? LATE : call(fd, line, answer, sizeof answer);
        if (woken == READY) {
            report(answer, primary.server_id);
        } else if (woken == LATE) {
            say("error", ",\"why\":\"no answer\"");
            if (fd >= 0)
                close(fd); /* a late answer must not be taken for the next call's */
            fd = -1;
        } else if (woken == CHANGED) {
            say("error", ",\"why\":\"another primary\"");
        }
        if (woken == READY || woken == LATE)
            woken = await(-1, 0, interval_ms);
    }
    if (fd >= 0)
        close(fd);
}

static void set(primacy_config config, const char *name, const char *value) {
    primacy_error *error;
    if (primacy_config_set(config, name, value, &error) != PRIMACY_OK)
        fail(name, primacy_error_message(error));
}

/* While etcd can not be reached, tries again until it is told to end; false: that came first. */
static bool open_observer(primacy_config config, primacy_observer *observer) {
    primacy_observer_callbacks callbacks = {.struct_size = sizeof callbacks, .on_change = on_change};
    for (;;) {
        primacy_error *error;
        primacy_status status = primacy_observer_open(config, role, &callbacks, NULL, observer, &error);
        if (status == PRIMACY_OK)
            return true;
        if (!primacy_status_may_pass(status))
            fail("can not observe", primacy_error_message(error));
        primacy_error_free(error);
        if (await(-1, 0, RETRY_MS) == ENDED)
            return false;
    }
}

int main(int argc, char **argv) {
    enum { ETCD = 1, ROOT, ROLE, INTERVAL, SET };
    static const struct option flags[] = {
        {"etcd", required_argument, NULL, ETCD},
        {"root", required_argument, NULL, ROOT},
        {"role", required_argument, NULL, ROLE},
        {"interval-ms", required_argument, NULL, INTERVAL},
        {"set", required_argument, NULL, SET},
        {NULL, 0, NULL, 0},
    };
    int interval_ms = 20;
    primacy_config config;
    primacy_config_new(&config);
    for (int flag; (flag = getopt_long(argc, argv, "", flags, NULL)) != -1;) {
        char *split;
        switch (flag) {
        case ETCD: set(config, "etcd.endpoints", optarg); break;
        case ROOT:
            split = strrchr(optarg, '/');
            if (split == NULL)
                fail("--root", "not like by-dev/meta");
            *split++ = 0;
            set(config, "etcd.rootPath", optarg);
            set(config, "etcd.metaSubPath", split);
            break;
        case ROLE: role = optarg; break;
        case INTERVAL: interval_ms = atoi(optarg); break;
        case SET:
            split = strchr(optarg, '=');
            if (split == NULL)
                fail("--set", "not NAME=VALUE");
            *split++ = 0;
            set(config, optarg, split);
            break;
        default: return 2; /* getopt_long has said why */
        }
    }
    if (role == NULL || optind != argc)
        fail("usage", "--etcd EP --role ROLE [--root PATH] [--interval-ms MS] [--set NAME=VALUE]");

    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    pthread_sigmask(SIG_BLOCK, &ends, NULL); /* before any thread starts, so that only `signals` gets them */
    signals = signalfd(-1, &ends, SFD_CLOEXEC);
    primary_changed = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    primacy_observer observer;
    if (open_observer(config, &observer)) {
        keep_calling(interval_ms);
        primacy_observer_free(observer);
    }
    primacy_config_free(config);
    return 0;
}
