/* A sample coordinator: candidate for one or more roles, with a small TCP service.
 *
 *     coordinator --etcd localhost:2379 --role rootcoord --address 127.0.0.1:0
 *
 * It says on stdout what happens to it, one JSON object a line, and answers text lines on its port: `who
 * ROLE`, `append ROLE TEXT` (a guarded write), `status`, `resign ROLE`, `transfer ROLE [ID]`. SIGTERM ends it
 * cleanly.
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
#include <stdatomic.h>
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

enum { MAX_ROLES = 1024, MAX_SETTINGS = 64, STOP_MS = 10000, REQUEST_MS = 5000, RETRY_MS = 500 };

struct role {
    const char *name;
    _Atomic primacy_election election; /* 0 until the session is open: the library refuses it */
    int64_t token;  /* of the last win; kept when it is lost: whether it still counts is for etcd to say */
    bool warming;   /* on_warmup was called in this standby period */
    bool warm;      /* and has said so */
};

/* A callback that answered PRIMACY_PENDING, to be completed when it is due. */
struct pending {
    struct pending *next;
    struct role *role;
    uint64_t call;
    int64_t due;
    int32_t outcome;
};

static struct role roles[MAX_ROLES];
static size_t role_count;
static const char *root = "by-dev/meta";
static char address[300];
static long warm_after_ms = 200, activate_ms = 0, lost_ms = 0;
static bool blocking;

/* 0 until the session is open. Requests are answered before. */
static _Atomic primacy_session session;
static _Atomic int64_t server_id;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of what changes after the start: roles, pending */
static pthread_cond_t due_changed;
static struct pending *pending;

static _Noreturn void fail(const char *format, ...) {
    va_list args;
    va_start(args, format);
    fputs("coordinator: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

/* ---- lines on stdout ---- */

/* `text` as the inside of a JSON string. */
static const char *quoted(const char *text, char *to, size_t size) {
    size_t n = 0;
    for (; text != NULL && *text != 0 && n + 7 < size; text++) {
        if (*text == '"' || *text == '\\')
            to[n++] = '\\', to[n++] = *text;
        else if ((unsigned char)*text < 0x20)
            n += (size_t)sprintf(to + n, "\\u%04x", (unsigned char)*text);
        else
            to[n++] = *text;
    }
    to[n] = 0;
    return to;
}

/* One line: the event, then `more`, a format of further JSON members. Flushed at once. */
static void say(const struct role *role, const char *event, const char *more, ...) {
    static pthread_mutex_t out = PTHREAD_MUTEX_INITIALIZER;
    va_list args;
    va_start(args, more);
    pthread_mutex_lock(&out);
    printf("{\"t\":%" PRId64 ",\"id\":%" PRId64 ",\"event\":\"%s\"", now(), server_id, event);
    if (role != NULL)
        printf(",\"role\":\"%s\"", role->name);
    vprintf(more, args);
    puts("}");
    fflush(stdout);
    pthread_mutex_unlock(&out);
    va_end(args);
}

/* ---- callbacks: how long they take is up to the flags ---- */

static int32_t finished(struct role *role, int32_t outcome) {
    pthread_mutex_lock(&lock);
    bool first = outcome == PRIMACY_WARM && !role->warm;
    role->warm |= first;
    pthread_mutex_unlock(&lock);
    if (first)
        say(role, "warm", "");
    return outcome;
}

/* Answers with `outcome` after `ms` (-1: never), blocking or pending; earlier if the call is cancelled. */
static int32_t take(long ms, struct role *role, const primacy_call *call, int32_t outcome) {
    if (ms == 0)
        return finished(role, outcome);
    int64_t due = now() + ms * INT64_C(1000000);
    if (blocking) {
        while (ms < 0 || now() < due) {
            if (ms >= 0 && primacy_election_is_cancelled(call->election, call->call))
                return PRIMACY_DONE;
            usleep(5000);
        }
        return finished(role, outcome);
    }
    if (ms < 0)
        return PRIMACY_PENDING;
    struct pending *p = malloc(sizeof *p);
    if (p == NULL)
        return PRIMACY_FAILED;
    pthread_mutex_lock(&lock);
    *p = (struct pending){pending, role, call->call, due, outcome};
    /* on_cancelled may have come before this call was in the list. */
    if (primacy_election_is_cancelled(call->election, call->call))
        p->due = 0, p->outcome = PRIMACY_DONE;
    pending = p;
    pthread_cond_signal(&due_changed);
    pthread_mutex_unlock(&lock);
    return PRIMACY_PENDING;
}

static int32_t on_standby(void *user_data, const primacy_call *call) {
    struct role *role = user_data;
    pthread_mutex_lock(&lock);
    role->warming = role->warm = false;
    pthread_mutex_unlock(&lock);
    char at[600];
    if (call->holder_id == 0)
        say(role, "standby", "");
    else
        say(role, "standby", ",\"holder\":%" PRId64 ",\"address\":\"%s\"", call->holder_id,
            quoted(call->holder_address, at, sizeof at));
    return PRIMACY_DONE;
}

static int32_t on_warmup(void *user_data, const primacy_call *call) {
    struct role *role = user_data;
    pthread_mutex_lock(&lock);
    bool first = !role->warming, warm = role->warm;
    role->warming = true;
    pthread_mutex_unlock(&lock);
    if (first)
        say(role, "warmup", "");
    return take(warm ? 0 : warm_after_ms, role, call, PRIMACY_WARM);
}

static int32_t on_primary(void *user_data, const primacy_call *call) {
    struct role *role = user_data;
    pthread_mutex_lock(&lock);
    role->token = call->token;
    pthread_mutex_unlock(&lock);
    say(role, "primary", ",\"token\":%" PRId64 ",\"lease\":\"%" PRId64 "\"", call->token, call->lease);
    return take(activate_ms, role, call, PRIMACY_DONE);
}

static int32_t on_lost(void *user_data, const primacy_call *call) {
    struct role *role = user_data;
    say(role, "lost", ",\"token\":%" PRId64 ",\"lease\":\"%" PRId64 "\",\"reason\":\"%s\"", call->token,
        call->lease, primacy_lost_string(call->reason));
    return take(lost_ms, role, call, PRIMACY_DONE);
}

static void on_cancelled(void *user_data, uint64_t call) {
    pthread_mutex_lock(&lock);
    for (struct pending *p = pending; p != NULL; p = p->next)
        if (p->role == user_data && p->call == call)
            p->due = 0, p->outcome = PRIMACY_DONE;
    pthread_cond_signal(&due_changed);
    pthread_mutex_unlock(&lock);
}

static void on_notice(void *user_data, const primacy_notice *notice) {
    const char *event = notice->kind == PRIMACY_NOTICE_SUSPENDED ? "suspended"
                        : notice->kind == PRIMACY_NOTICE_RESUMED ? "resumed"
                        : notice->kind == PRIMACY_NOTICE_READY   ? "ready"
                                                                 : NULL;
    if (event != NULL)
        say(user_data, event, ",\"token\":%" PRId64, notice->token);
}

/* Completes what is due. A thread of its own, so that it goes on while the main thread waits for the end. */
static void *complete_pending(void *unused) {
    (void)unused;
    pthread_mutex_lock(&lock);
    for (;;) {
        struct pending **first = &pending;
        for (struct pending **p = &pending; *p != NULL; p = &(*p)->next)
            if ((*p)->due < (*first)->due)
                first = p;
        struct pending *p = *first;
        if (p == NULL) {
            pthread_cond_wait(&due_changed, &lock);
        } else if (p->due > now()) {
            struct timespec until;
            clock_gettime(CLOCK_MONOTONIC, &until);
            int64_t ns = until.tv_nsec + p->due - now();
            until.tv_sec += ns / 1000000000;
            until.tv_nsec = ns % 1000000000;
            pthread_cond_timedwait(&due_changed, &lock, &until);
        } else {
            *first = p->next;
            pthread_mutex_unlock(&lock);
            primacy_election_complete(p->role->election, p->call, finished(p->role, p->outcome), NULL);
            free(p);
            pthread_mutex_lock(&lock);
        }
    }
    return NULL;
}

/* ---- requests ---- */

static struct role *find_role(const char *name) {
    for (size_t i = 0; i < role_count; i++)
        if (strcmp(roles[i].name, name) == 0)
            return &roles[i];
    return NULL;
}

static void refuse(FILE *out, const char *why) {
    fprintf(out, "{\"ok\":false,\"why\":\"%s\"}\n", why);
}

static void who(FILE *out, const struct role *role) {
    int64_t t = now(), token;
    int32_t primary = primacy_election_is_primary(role->election, &token, NULL);
    fprintf(out,
            "{\"role\":\"%s\",\"id\":%" PRId64 ",\"primary\":%s,\"token\":%" PRId64 ",\"t\":%" PRId64 "}\n",
            role->name, server_id, primary ? "true" : "false", token, t);
}

/* Reads the length of the role's log, and the revision to compare it by; -1 and a status if that fails. */
static int64_t read_length(const char *key, int64_t *mod_revision, primacy_status *status) {
    primacy_txn read;
    primacy_result result;
    primacy_key_value kv = {.struct_size = sizeof kv};
    primacy_txn_new(&read);
    primacy_txn_get(read, key, strlen(key));
    *status = primacy_session_read(session, read, REQUEST_MS, &result, NULL);
    primacy_txn_free(read);
    if (*status != PRIMACY_OK)
        return -1;
    int64_t length = 0;
    *mod_revision = 0;
    if (primacy_result_key_value(result, 0, 0, &kv) == PRIMACY_OK) {
        char digits[24];
        snprintf(digits, sizeof digits, "%.*s", (int)kv.value_size, kv.value);
        length = strtoll(digits, NULL, 10);
        *mod_revision = kv.mod_revision;
    }
    primacy_result_free(result);
    return length;
}

static void append(FILE *out, struct role *role, const char *text) {
    pthread_mutex_lock(&lock);
    int64_t token = role->token;
    pthread_mutex_unlock(&lock);
    if (token == 0) {
        refuse(out, "not_primary"); /* never was */
        return;
    }

    char length_key[512], entry_key[512], digits[24], entry[4096];
    int64_t mod_revision;
    primacy_status status;
    snprintf(length_key, sizeof length_key, "%s/sample/%s/length", root, role->name);
    int64_t n = read_length(length_key, &mod_revision, &status) + 1;
    if (status != PRIMACY_OK) {
        refuse(out, "can not read"); /* nothing was written */
        return;
    }

    snprintf(entry_key, sizeof entry_key, "%s/sample/%s/log/%010" PRId64, root, role->name, n);
    snprintf(entry, sizeof entry, "%" PRId64 " %" PRId64 " %s", token, server_id, text);
    snprintf(digits, sizeof digits, "%" PRId64, n);

    /* The library adds the guard: the lock is still held by the win of this token. */
    primacy_txn write;
    primacy_txn_new(&write);
    primacy_txn_compare_mod_revision(write, length_key, strlen(length_key), mod_revision);
    primacy_txn_put(write, entry_key, strlen(entry_key), entry, strlen(entry));
    primacy_txn_put(write, length_key, strlen(length_key), digits, strlen(digits));
    status = primacy_election_commit(role->election, token, write, REQUEST_MS, NULL, NULL);
    primacy_txn_free(write);

    if (status == PRIMACY_OK)
        fprintf(out, "{\"ok\":true,\"n\":%" PRId64 ",\"token\":%" PRId64 "}\n", n, token);
    else if (status == PRIMACY_E_NOT_PRIMARY)
        refuse(out, "not_primary");
    else if (status == PRIMACY_E_INDEFINITE)
        refuse(out, "unknown");
    else if (status == PRIMACY_E_CONFLICT)
        refuse(out, "conflict"); /* another append of ours was faster */
    else
        refuse(out, primacy_status_string(status));
}

static void answer(FILE *out, char *line) {
    line[strcspn(line, "\r\n")] = 0;
    char *rest = line, *what = strsep(&rest, " "), *name = strsep(&rest, " ");
    struct role *role = name != NULL ? find_role(name) : NULL;
    bool about_role = strcmp(what, "who") == 0 || strcmp(what, "resign") == 0 || strcmp(what, "transfer") == 0
                      || (strcmp(what, "append") == 0 && rest != NULL);
    if (strcmp(what, "status") == 0 && name == NULL) {
        char *json = NULL;
        primacy_status status = primacy_session_snapshot_json(session, &json, NULL);
        if (status == PRIMACY_OK)
            fprintf(out, "%s\n", json);
        else
            refuse(out, primacy_status_string(status));
        primacy_string_free(json);
    } else if (!about_role || name == NULL) {
        refuse(out, "bad request");
    } else if (role == NULL) {
        refuse(out, "unknown role");
    } else if (*what == 'w') {
        who(out, role);
    } else if (*what == 'a') {
        append(out, role, rest);
    } else {
        primacy_status status = *what == 'r'
                                    ? primacy_election_resign(role->election)
                                    : primacy_election_transfer(role->election, rest ? strtoll(rest, NULL, 10) : 0);
        if (status == PRIMACY_OK)
            fputs("{\"ok\":true}\n", out);
        else
            refuse(out, primacy_status_string(status));
    }
}

/* One connection, one thread: an append that waits for etcd holds up nobody else's `who`. */
static void *serve(void *connection) {
    FILE *in = connection, *out = fdopen(dup(fileno(in)), "w");
    char *line = NULL;
    size_t size = 0;
    while (out != NULL && getline(&line, &size, in) > 0) {
        answer(out, line);
        if (fflush(out) != 0)
            break;
    }
    free(line);
    if (out != NULL)
        fclose(out);
    fclose(in);
    return NULL;
}

static void start_thread(void *(*run)(void *), void *with) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, run, with) != 0)
        fail("can not start a thread");
    pthread_detach(thread);
}

static void *accept_connections(void *listener) {
    for (;;) {
        int fd = accept4(*(int *)listener, NULL, NULL, SOCK_CLOEXEC);
        FILE *connection = fd >= 0 ? fdopen(fd, "r") : NULL;
        if (connection != NULL)
            start_thread(serve, connection);
    }
    return NULL;
}

/* ---- start and end ---- */

/* Listens at HOST:PORT and leaves in `address` where that really is. */
static int listen_at(const char *where) {
    char host[256];
    const char *colon = strrchr(where, ':');
    if (colon == NULL || (size_t)(colon - where) >= sizeof host)
        fail("--address %s is not HOST:PORT", where);
    bool v6 = where[0] == '[' && colon[-1] == ']';
    snprintf(host, sizeof host, "%.*s", (int)(colon - where) - 2 * v6, where + v6);

    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *info;
    int wrong = getaddrinfo(host, colon + 1, &hints, &info), yes = 1;
    if (wrong != 0)
        fail("--address %s: %s", where, gai_strerror(wrong));
    int fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (fd < 0 || bind(fd, info->ai_addr, info->ai_addrlen) != 0 || listen(fd, 64) != 0)
        fail("can not listen at %s: %s", where, strerror(errno));
    freeaddrinfo(info);

    struct sockaddr_storage bound;
    socklen_t size = sizeof bound;
    char port[16];
    getsockname(fd, (struct sockaddr *)&bound, &size);
    getnameinfo((struct sockaddr *)&bound, size, NULL, 0, port, sizeof port, NI_NUMERICSERV);
    snprintf(address, sizeof address, "%.*s:%s", (int)(colon - where), where, port);
    return fd;
}

static void on_log_line(void *user_data, int32_t level, const char *text) {
    static const char *const levels[] = {"?", "error", "warn", "info", "debug"};
    (void)user_data;
    fprintf(stderr, "coordinator: %s: %s\n", levels[level >= 1 && level <= 4 ? level : 0], text);
}

static void set(primacy_config config, const char *name, const char *value) {
    primacy_error *error;
    if (primacy_config_set(config, name, value, &error) != PRIMACY_OK)
        fail("%s", primacy_error_message(error));
}

static void set_root(primacy_config config, const char *path) {
    const char *slash = strrchr(path, '/');
    if (slash == NULL || slash == path || slash[1] == 0)
        fail("--root %s is not like by-dev/meta", path);
    char parent[256];
    snprintf(parent, sizeof parent, "%.*s", (int)(slash - path), path);
    set(config, "etcd.rootPath", parent);
    set(config, "etcd.metaSubPath", slash + 1);
    root = path;
}

/* Waits for SIGTERM or SIGINT, `ms` at most; -1: for ever. Not if `ended`, an eventfd, is written first; -1: none is. */
static bool told_to_stop(int signals, int ms, int ended) {
    struct pollfd ready[] = {{signals, POLLIN, 0}, {ended, POLLIN, 0}};
    return poll(ready, 2, ms) > 0 && ready[0].revents != 0;
}

/* How an opening ended. */
static struct {
    int ended; /* an eventfd */
    primacy_status status;
    primacy_error *error;
} opening;

static void on_open(void *user_data, primacy_status status, primacy_result result, primacy_error *error) {
    (void)user_data, (void)result;
    opening.status = status;
    opening.error = error;
    eventfd_write(opening.ended, 1);
}

/* While etcd can not be reached, tries again until it is told to stop; false: that came first. */
static bool open_session(primacy_config config, const char *version, int signals) {
    primacy_candidate candidate = {.struct_size = sizeof candidate, .address = address, .version = version};
    opening.ended = eventfd(0, EFD_CLOEXEC);
    for (;;) {
        primacy_session opened;
        eventfd_t one;
        primacy_status status = primacy_session_start_open(config, &candidate, on_open, NULL, &opened, &opening.error);
        if (status == PRIMACY_OK) {
            if (told_to_stop(signals, -1, opening.ended)) {
                primacy_session_free(opened);
                return false;
            }
            eventfd_read(opening.ended, &one);
            status = opening.status;
        }
        if (status == PRIMACY_OK) {
            int64_t id;
            primacy_session_server_id(opened, &id);
            server_id = id;
            session = opened;
            return true;
        }
        primacy_session_free(opened); /* 0 where it did not even begin, which does no harm */
        if (!primacy_status_may_pass(status))
            fail("%s", primacy_error_message(opening.error));
        fprintf(stderr, "coordinator: %s; trying again\n", primacy_error_message(opening.error));
        primacy_error_free(opening.error);
        if (told_to_stop(signals, RETRY_MS, -1))
            return false;
    }
}

static void start_elections(void) {
    primacy_callbacks callbacks = {
        .struct_size = sizeof callbacks,
        .on_standby = on_standby,
        .on_warmup = on_warmup,
        .on_primary = on_primary,
        .on_lost = on_lost,
        .on_cancelled = on_cancelled,
        .on_notice = on_notice,
    };
    for (size_t i = 0; i < role_count; i++) {
        struct role *role = &roles[i];
        primacy_election election;
        primacy_error *error;
        if (primacy_session_register(session, role->name, &callbacks, role, &election, &error) != PRIMACY_OK)
            fail("role %s: %s", role->name, primacy_error_message(error));
        role->election = election;
    }
    for (size_t i = 0; i < role_count; i++)
        primacy_election_campaign(roles[i].election);
}

static void stop_session(void) {
    primacy_error *error;
    if (primacy_session_close(session, STOP_MS, 0, &error) != PRIMACY_OK)
        fail("%s", primacy_error_message(error));
    for (size_t i = 0; i < role_count; i++)
        primacy_election_free(roles[i].election);
    primacy_session_free(session);
}

int main(int argc, char **argv) {
    enum { ETCD = 1, ROOT, ROLE, ADDRESS, TTL, VERSION, WARM_AFTER, ACTIVATE, LOST, BLOCKING, SET };
    static const struct option flags[] = {
        {"etcd", required_argument, NULL, ETCD},
        {"root", required_argument, NULL, ROOT},
        {"role", required_argument, NULL, ROLE},
        {"address", required_argument, NULL, ADDRESS},
        {"ttl", required_argument, NULL, TTL},
        {"version", required_argument, NULL, VERSION},
        {"warm-after", required_argument, NULL, WARM_AFTER},
        {"activate-ms", required_argument, NULL, ACTIVATE},
        {"lost-ms", required_argument, NULL, LOST},
        {"blocking", no_argument, NULL, BLOCKING},
        {"set", required_argument, NULL, SET},
        {NULL, 0, NULL, 0},
    };
    const char *version = primacy_version(), *where = NULL;
    const primacy_log log = {.struct_size = sizeof log, .level = PRIMACY_LOG_INFO, .on_line = on_log_line};
    primacy_config config;
    primacy_config_new(&config);
    primacy_config_set_log(config, &log, NULL, NULL);
    for (int flag; (flag = getopt_long(argc, argv, "", flags, NULL)) != -1;) {
        char *value;
        switch (flag) {
        case ETCD:
            set(config, "etcd.endpoints", optarg);
            if (strncmp(optarg, "mem://", 6) == 0)
                set(config, "primacy.allow_memory_store", "true"); /* on a command line it is meant */
            break;
        case ROOT: set_root(config, optarg); break;
        case ROLE:
            if (role_count == MAX_ROLES)
                fail("more than %d roles", MAX_ROLES);
            roles[role_count++].name = optarg;
            break;
        case ADDRESS: where = optarg; break;
        case TTL: set(config, "common.session.ttl", optarg); break;
        case VERSION: version = optarg; break;
        case WARM_AFTER: warm_after_ms = atol(optarg); break;
        case ACTIVATE: activate_ms = atol(optarg); break;
        case LOST: lost_ms = atol(optarg); break;
        case BLOCKING: blocking = true; break;
        case SET:
            value = strchr(optarg, '=');
            if (value == NULL)
                fail("--set %s is not NAME=VALUE", optarg);
            *value++ = 0;
            set(config, optarg, value);
            break;
        default: return 2; /* getopt_long has said why */
        }
    }
    if (where == NULL || role_count == 0 || optind != argc)
        fail("usage: --etcd EP --role ROLE --address HOST:PORT [--root PATH] [--ttl S] ...");

    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    pthread_sigmask(SIG_BLOCK, &ends, NULL); /* before any thread starts, so that only `signals` gets them */
    signal(SIGPIPE, SIG_IGN);
    int signals = signalfd(-1, &ends, SFD_CLOEXEC), listener = listen_at(where);

    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&due_changed, &monotonic);
    start_thread(complete_pending, NULL);

    char quoted_address[640];
    say(NULL, "listening", ",\"address\":\"%s\"", quoted(address, quoted_address, sizeof quoted_address));
    start_thread(accept_connections, &listener);

    if (open_session(config, version, signals)) {
        start_elections();
        told_to_stop(signals, -1, -1);
        stop_session();
    }
    primacy_config_free(config);
    say(NULL, "stopped", "");
    return 0;
}
