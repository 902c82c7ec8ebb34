/* primacy.h: one primary, warm standbys, for coordinators in any language.
 *
 * Made from bindings/c/src by cbindgen; do not edit.
 *
 * What holds everywhere
 * =====================
 *
 * Safety. A timer can not prove that a former primary writes nothing: a process may be paused between asking
 * whether it is the primary and writing. What must never be written by a former primary is written by
 * primacy_election_commit, under the fencing token of the win; etcd itself then refuses it. For data outside
 * of etcd, let the store keep the highest token that it has seen, and refuse lower ones.
 *
 * Handles. primacy_config, primacy_session, primacy_election, primacy_txn, primacy_result, primacy_observer
 * and primacy_queue are numbers, not pointers. Copy them as you like. 0, a freed, a made-up one or one of
 * another kind gives PRIMACY_E_HANDLE and does nothing else. Each is ended by its own ..._free; but those that
 * the library gives to a lent store, primacy_request and primacy_watch, end with what they stand for.
 *
 * Statuses. Every function that can fail answers a primacy_status, PRIMACY_OK = 0. Their numbers never
 * change. An out parameter is set in any case: to the answer, or to 0 or NULL.
 *
 * Errors. error_out may be NULL. If it is not and the function fails, *error_out is an error object with the
 * story for people, yours to end with primacy_error_free; else it is NULL. There is no "last error" of a
 * thread. Beside what each function names, all may answer PRIMACY_E_FORKED and PRIMACY_E_INTERNAL.
 *
 * Strings are UTF-8, ended by a NUL, copied by the call that takes them. A `const char *` that you get is the
 * library's and lives as long as is said; a `char *` is yours to end with primacy_string_free. Keys and
 * values of etcd are bytes with a size.
 *
 * Structs begin with struct_size. Set the whole struct to zero, then struct_size to its sizeof, then your
 * fields: programs built against an older or a newer header than the library keep working, and fields that
 * the library does not know are refused instead of ignored (PRIMACY_E_STRUCT_SIZE). Those
 * without it, which a lent store gets and gives in arrays, never grow.
 *
 * Units. Durations end in _ms: milliseconds, never "for ever" (they are bounded by a year). Tokens and
 * revisions are etcd revisions.
 *
 * Threads. Every function may be called from any thread. What blocks says so.
 *
 * Callbacks run on threads of the library, never on the one that renews leases: one that takes minutes delays
 * nothing but its own election. Those of one election run one after the other, except that on_lost starts
 * while another one still runs. To give the thread back, answer PRIMACY_PENDING and end the call with
 * primacy_election_complete, later, from any thread. resign and stop may be called inside a callback and take
 * effect when that call is completed; join refuses there (PRIMACY_E_DEADLOCK); free does not wait there.
 * on_notice, on_cancelled, on_stopped, on_change and on_line must not call what blocks (PRIMACY_E_DEADLOCK).
 * A callback must not throw, longjmp out of itself or end its thread.
 *
 * Events. A host with a loop of its own gives its elections and observers an event queue instead of
 * callbacks: primacy_queue_fd is for its poll, primacy_queue_next takes what has happened. A call begins when
 * it is taken; primacy_election_is_primary is 1 from then on. One that nobody takes is taken back: on_primary
 * after primacy.activation_timeout_ms, which gives the win to others. A primary that leaves anything in the
 * queue for that long, while no call of its session is at work, is lost (PRIMACY_LOST_HOST_UNRESPONSIVE), so
 * go on reading. An election whose host takes nothing does not campaign until it does.
 *
 * Panics. A defect of the library becomes PRIMACY_E_INTERNAL; it never unwinds into your code.
 *
 * Signals. The library installs no handler, and its threads take none of your signals. It writes nothing to
 * stdout or stderr.
 *
 * Fork. A child of a process that has opened a session or an observer can not use the library: every call
 * answers PRIMACY_E_FORKED, ..._free returns PRIMACY_OK at once, and primacy_election_is_primary is 0. After
 * exec all is as new.
 */

#ifndef PRIMACY_H
#define PRIMACY_H

#include <stddef.h>
#include <stdint.h>

/** The version of this header; primacy_version() says that of the library. */
#define PRIMACY_VERSION "0.1.0"
#define PRIMACY_VERSION_MAJOR 0
#define PRIMACY_VERSION_MINOR 1
#define PRIMACY_VERSION_PATCH 0


/**
 * In place of a number of milliseconds, where a function says that it takes this: as long as the configuration says
 * that it may take, after its defaults.
 */
#define PRIMACY_AS_CONFIGURED UINT64_MAX

/**
 * An operator has to do something.
 */
#define PRIMACY_LOG_ERROR 1

/**
 * Something is wrong; the library repairs it.
 */
#define PRIMACY_LOG_WARN 2

/**
 * A change that an operator wants to know of.
 */
#define PRIMACY_LOG_INFO 3

/**
 * The rest.
 */
#define PRIMACY_LOG_DEBUG 4

/**
 * A choice that was not made: what Milvus's coordinators do today.
 */
#define PRIMACY_DEFAULT 0

/**
 * A choice: yes.
 */
#define PRIMACY_YES 1

/**
 * A choice: no.
 */
#define PRIMACY_NO 2

/**
 * A callback's answer: well.
 */
#define PRIMACY_DONE 0

/**
 * A warm-up's answer: well, and this standby is ready to take over. It is asked again, at a tenth of the
 * pace.
 */
#define PRIMACY_WARM 1

/**
 * Not over yet: `primacy_election_complete` will end the call, from any thread.
 */
#define PRIMACY_PENDING 2

/**
 * It failed. To say why, complete the call with a message and answer `PRIMACY_PENDING`.
 */
#define PRIMACY_FAILED 3

/**
 * `on_standby`.
 */
#define PRIMACY_CALL_STANDBY 1

/**
 * `on_warmup`.
 */
#define PRIMACY_CALL_WARMUP 2

/**
 * `on_primary`.
 */
#define PRIMACY_CALL_PRIMARY 3

/**
 * `on_lost`.
 */
#define PRIMACY_CALL_LOST 4

/**
 * The lease ran out, or etcd no longer knows it.
 */
#define PRIMACY_LOST_LEASE_EXPIRED 1

/**
 * Somebody deleted a key of the lock.
 */
#define PRIMACY_LOST_KEY_DELETED 2

/**
 * Somebody overwrote a key of the lock.
 */
#define PRIMACY_LOST_KEY_TAKEN 3

/**
 * `primacy_election_resign`.
 */
#define PRIMACY_LOST_RESIGNED 4

/**
 * Handed over to another candidate.
 */
#define PRIMACY_LOST_TRANSFERRED 5

/**
 * `on_primary` failed.
 */
#define PRIMACY_LOST_ACTIVATION_FAILED 6

/**
 * etcd was put back to an older state, or replaced by another cluster.
 */
#define PRIMACY_LOST_STORE_ROLLED_BACK 7

/**
 * The election or the session is being stopped.
 */
#define PRIMACY_LOST_STOPPED 8

/**
 * A defect of the library.
 */
#define PRIMACY_LOST_INTERNAL_ERROR 9

/**
 * The host did not take what waited for it in its queue, or its callback's thread could not be made.
 */
#define PRIMACY_LOST_HOST_UNRESPONSIVE 10

/**
 * The host did not say within `primacy.liveness_timeout_ms` that it is well (`primacy_election_healthy`).
 */
#define PRIMACY_LOST_LIVENESS_EXPIRED 11

/**
 * Primary, but a renewal of the lease is late: lost at the deadline unless it comes. Start nothing long.
 */
#define PRIMACY_NOTICE_SUSPENDED 1

/**
 * The late renewal came.
 */
#define PRIMACY_NOTICE_RESUMED 2

/**
 * `on_primary` has succeeded.
 */
#define PRIMACY_NOTICE_READY 3

/**
 * Another holder of the lock, or (`holder_id` 0) none.
 */
#define PRIMACY_NOTICE_HOLDER 4

/**
 * Room for an address, its ending NUL included.
 */
#define PRIMACY_ADDRESS_SIZE 512

/**
 * A call, which waits for `primacy_election_complete`: `detail` is one of `PRIMACY_CALL_...`.
 */
#define PRIMACY_EVENT_CALL 1

/**
 * The call `call`, which came before, should end soon; it must still be completed.
 */
#define PRIMACY_EVENT_CANCELLED 2

/**
 * Something that needs no answer: `detail` is one of `PRIMACY_NOTICE_...`.
 */
#define PRIMACY_EVENT_NOTICE 3

/**
 * The election is over: nothing more comes under its tag.
 */
#define PRIMACY_EVENT_STOPPED 4

/**
 * An observer saw another primary, that it has become ready (`detail` 1, else 0), or (`token` 0) that there is none.
 * Only the latest waits.
 */
#define PRIMACY_EVENT_OBSERVED 5

/**
 * `primacy_queue_wake`.
 */
#define PRIMACY_EVENT_WOKEN 6

/**
 * It works.
 */
#define PRIMACY_SESSION_OPEN 1

/**
 * It is being stopped.
 */
#define PRIMACY_SESSION_STOPPING 2

/**
 * It is over.
 */
#define PRIMACY_SESSION_CLOSED 3

/**
 * It is not open yet, and nothing has been asked of etcd.
 */
#define PRIMACY_SESSION_NEW 4

/**
 * It has no lease or no server id yet.
 */
#define PRIMACY_SESSION_OPENING 5

/**
 * No record in etcd yet.
 */
#define PRIMACY_ELECTION_REGISTERING 1

/**
 * It has a record; nobody has asked it to campaign.
 */
#define PRIMACY_ELECTION_REGISTERED 2

/**
 * Neither primary nor standby yet.
 */
#define PRIMACY_ELECTION_CAMPAIGNING 3

/**
 * Somebody else is primary, or will be.
 */
#define PRIMACY_ELECTION_STANDBY 4

/**
 * It has won, and `on_primary` has not succeeded yet.
 */
#define PRIMACY_ELECTION_ACTIVATING 5

/**
 * It is primary.
 */
#define PRIMACY_ELECTION_PRIMARY 6

/**
 * It is primary, and its renewal is late.
 */
#define PRIMACY_ELECTION_SUSPENDED 7

/**
 * It was primary; its callbacks or its keys are not done yet.
 */
#define PRIMACY_ELECTION_RESIGNING 8

/**
 * As before, and the drain timeout is over.
 */
#define PRIMACY_ELECTION_STUCK 9

/**
 * It is being stopped.
 */
#define PRIMACY_ELECTION_STOPPING 10

/**
 * It is over.
 */
#define PRIMACY_ELECTION_STOPPED 11

/**
 * Its record's key is somebody else's; it waits until that is gone.
 */
#define PRIMACY_OBSTACLE_RECORD_TAKEN 1

/**
 * Its host takes nothing of what waits for it; it does not campaign until it does.
 */
#define PRIMACY_OBSTACLE_HOST_UNRESPONSIVE 2

/**
 * The cluster has seen a newer version, or the key that tells is no version: it does not campaign. Waiting does not
 * help: somebody has to change the key, or this server.
 */
#define PRIMACY_OBSTACLE_OUTDATED 3

/**
 * etcd's user may not do what the last write needs.
 */
#define PRIMACY_OBSTACLE_DENIED 4

/**
 * etcd has no space for the last write.
 */
#define PRIMACY_OBSTACLE_NO_SPACE 5

/**
 * etcd refused the last write, for another reason.
 */
#define PRIMACY_OBSTACLE_REFUSED 6

/**
 * The last write was not sent.
 */
#define PRIMACY_OBSTACLE_UNREACHABLE 7

/**
 * The last write got no answer in time: it may have happened.
 */
#define PRIMACY_OBSTACLE_INDEFINITE 8

/**
 * The lease of the last write was gone.
 */
#define PRIMACY_OBSTACLE_LEASE_LOST 9

/**
 * Nobody holds the lock, and another key that a win takes, or must find absent, is somebody else's; it waits until that is
 * gone.
 */
#define PRIMACY_OBSTACLE_KEY_HELD 10

/**
 * Its primacy.priority is 0: it never campaigns, and is never handed primacy.
 */
#define PRIMACY_OBSTACLE_NO_PRIORITY 11

/**
 * Room for the warnings of a session, their ending NUL included.
 */
#define PRIMACY_WARNINGS_SIZE 1024

/**
 * A comparison with how often a key was written since it was created; 0: it is not there. As etcd numbers it.
 */
#define PRIMACY_COMPARE_VERSION 0

/**
 * With the revision that wrote it last.
 */
#define PRIMACY_COMPARE_MOD_REVISION 2

/**
 * With its value.
 */
#define PRIMACY_COMPARE_VALUE 3

/**
 * With the lease that it hangs on.
 */
#define PRIMACY_COMPARE_LEASE 4

/**
 * An operation that reads its range: all keys in it, in the order of their bytes, with their values.
 */
#define PRIMACY_OP_GET 1

/**
 * One that writes its key.
 */
#define PRIMACY_OP_PUT 2

/**
 * One that deletes its key, if it is there.
 */
#define PRIMACY_OP_DELETE 3

/**
 * It may have happened, or may happen later: no answer in time, a connection that was lost after it was sent, and
 * whatever else is not known for sure.
 */
#define PRIMACY_FAILURE_INDEFINITE 1

/**
 * It did certainly not happen, and may succeed later: it was never sent, or the server said that it can not serve now
 * (no leader, too many requests).
 */
#define PRIMACY_FAILURE_UNREACHABLE 2

/**
 * It did not happen: no permission, wrong password. It stays so until somebody changes something.
 */
#define PRIMACY_FAILURE_DENIED 3

/**
 * It did not happen: etcd has no space left (its alarm NOSPACE).
 */
#define PRIMACY_FAILURE_NO_SPACE 4

/**
 * It did not happen: etcd refused it as such, such as one that is too large.
 */
#define PRIMACY_FAILURE_REFUSED 5

/**
 * It did not happen: the lease that it names does not exist.
 */
#define PRIMACY_FAILURE_LEASE_NOT_FOUND 6

/**
 * It did not happen: a grant named a lease that exists.
 */
#define PRIMACY_FAILURE_LEASE_EXISTS 7

/**
 * Why a call failed, in words. Owned by the caller, who ends it with `primacy_error_free`.
 */
typedef struct primacy_error primacy_error;

/**
 * What a function answers: `PRIMACY_OK` or one of `PRIMACY_E_...`. Numbers are never reused.
 */
typedef int32_t primacy_status;

/**
 * A configuration under construction.
 */
typedef uint64_t primacy_config;

/**
 * Where lines of the log go. See `primacy_config_set_log`.
 *
 * The callbacks run on any thread of the library, or of the host inside a call of the library, several at a
 * time. They must return soon, and not wait for the library.
 */
typedef struct primacy_log {
    /**
     * `sizeof(primacy_log)`.
     */
    size_t struct_size;
    /**
     * `on_line` is called for lines up to this level: `PRIMACY_LOG_INFO` leaves out debug lines.
     */
    int32_t level;
    /**
     * One line, which may have line feeds inside. `level` is one of `PRIMACY_LOG_...`; `text` lives until it
     * returns. Required.
     */
    void (*on_line)(void *user_data, int32_t level, const char *text);
    /**
     * The last use of `user_data`. May be NULL.
     */
    void (*on_stopped)(void *user_data);
} primacy_log;

/**
 * What the records of a candidate in etcd say of it. Copied by the call that takes it.
 *
 * Set all of it to zero, then `struct_size`, `address` and `version`.
 */
typedef struct primacy_candidate {
    /**
     * `sizeof(primacy_candidate)`.
     */
    size_t struct_size;
    /**
     * `host:port` where clients reach it, unless `any_address` says otherwise. Required.
     */
    const char *address;
    /**
     * Its version, as semantic versioning has it, such as "3.0.0". Required.
     */
    const char *version;
    /**
     * The machine's name; NULL: what the machine says.
     */
    const char *host_name;
    /**
     * Texts "NAME=VALUE" that clients choose servers by; NULL: none.
     */
    const char *const *server_labels;
    /**
     * How many.
     */
    size_t server_labels_count;
    /**
     * A JSON object of integers, passed on to Milvus's readers as it is; NULL: empty.
     */
    const char *index_engine_version;
    /**
     * As `index_engine_version`.
     */
    const char *scalar_index_engine_version;
    /**
     * Passed on to Milvus's readers. By default no.
     */
    int32_t index_non_encoding;
    /**
     * At most one of the role at a time. By default yes.
     */
    int32_t exclusive;
    /**
     * `TriggerKill`, which Milvus 2.x writes and 3.0 does not. By default left out.
     */
    int32_t trigger_kill;
    /**
     * Yes: `address` is any text, as Milvus's own code takes it; clients that read it make of it what they can. By
     * default no: it is checked.
     */
    int32_t any_address;
    /**
     * The id of this server, from 1, where its host vouches that nobody else has it, such as one that the roles of a
     * process share: a key under it that is there already is waited for. 0: one is taken from the counter in etcd.
     */
    int64_t server_id;
} primacy_candidate;

/**
 * A session: a connection to etcd, a lease, a server id, and the elections on them.
 */
typedef uint64_t primacy_session;

/**
 * What a commit or a read brought.
 */
typedef uint64_t primacy_result;

/**
 * Is told what came of `primacy_election_start_commit`, `primacy_session_start_read` or `primacy_session_start_open`.
 *
 * `status` is that of `primacy_election_commit`, `primacy_session_read` or `primacy_session_open`. `result`, where
 * there is one, and `error`, NULL with `PRIMACY_OK`, are yours to free. It runs on a thread of the library; it must
 * return soon, and not call what blocks.
 */
typedef void (*primacy_on_result)(void *user_data,
                                  primacy_status status,
                                  primacy_result result,
                                  struct primacy_error *error);

/**
 * An election: a role on a session.
 */
typedef uint64_t primacy_election;

/**
 * What one call of `on_standby`, `on_warmup`, `on_primary` or `on_lost` is about. Lives until the callback
 * returns.
 */
typedef struct primacy_call {
    /**
     * The library's `sizeof(primacy_call)`: fields beyond it are not there.
     */
    size_t struct_size;
    /**
     * Names this call, for `primacy_election_complete`. Never 0, never used again in this election.
     */
    uint64_t call;
    /**
     * The election that it belongs to.
     */
    primacy_election election;
    /**
     * Its role.
     */
    const char *role;
    /**
     * One of `PRIMACY_CALL_...`.
     */
    int32_t kind;
    /**
     * `on_lost`: one of `PRIMACY_LOST_...`; else 0.
     */
    int32_t reason;
    /**
     * `on_primary`, `on_lost`: the fencing token of the win; else 0.
     */
    int64_t token;
    /**
     * `on_primary`, `on_lost`: the etcd lease that the win stands on; else 0.
     */
    int64_t lease;
    /**
     * `on_standby`: the server id of the primary; 0: not known.
     */
    int64_t holder_id;
    /**
     * `on_standby`: the primary's address; NULL: not known.
     */
    const char *holder_address;
} primacy_call;

/**
 * A callback of an election. It answers `PRIMACY_DONE`, `PRIMACY_WARM`, `PRIMACY_PENDING` or
 * `PRIMACY_FAILED`.
 */
typedef int32_t (*primacy_on_call)(void *user_data, const struct primacy_call *call);

/**
 * Something that a host may want to know and that needs no answer. Lives until the callback returns.
 */
typedef struct primacy_notice {
    /**
     * The library's `sizeof(primacy_notice)`: fields beyond it are not there.
     */
    size_t struct_size;
    /**
     * The election that it belongs to.
     */
    primacy_election election;
    /**
     * Its role.
     */
    const char *role;
    /**
     * One of `PRIMACY_NOTICE_...`; newer libraries may have more, so ignore what you do not know.
     */
    int32_t kind;
    /**
     * Always 0.
     */
    int32_t reserved;
    /**
     * Suspended, resumed, ready: the fencing token of the win. Holder: the holder's.
     */
    int64_t token;
    /**
     * Holder: its server id; 0: there is none.
     */
    int64_t holder_id;
    /**
     * Holder: its address; NULL: there is none.
     */
    const char *holder_address;
} primacy_notice;

/**
 * The host's side of an election. See "Callbacks" above for threads and order.
 */
typedef struct primacy_callbacks {
    /**
     * `sizeof(primacy_callbacks)`.
     */
    size_t struct_size;
    /**
     * Somebody else is primary, or it is not clear yet who is: once per standby period. NULL: nothing to do.
     */
    primacy_on_call on_standby;
    /**
     * Get ready to take over. Again and again, every `primacy.warmup_interval_ms`, until it answers
     * `PRIMACY_WARM`, then at a tenth of the pace. Cancelled when the election is won. NULL: always warm.
     */
    primacy_on_call on_warmup;
    /**
     * This process is the primary, under `call->token`. Failing gives it back. Required.
     */
    primacy_on_call on_primary;
    /**
     * It is not any more: exactly one for each `on_primary`, also while that still runs. The lock is
     * released when this and all other calls of the token are over, so flush here: guarded writes still go
     * through after `PRIMACY_LOST_RESIGNED` and `PRIMACY_LOST_STOPPED`. Required.
     */
    primacy_on_call on_lost;
    /**
     * The call with this id should end soon: it must still be completed. Must return at once. May be NULL.
     */
    void (*on_cancelled)(void *user_data, uint64_t call);
    /**
     * Something that needs no answer. Must return soon. May be NULL.
     */
    void (*on_notice)(void *user_data, const struct primacy_notice *notice);
    /**
     * The last use of `user_data`: nothing of this election runs any more. May be NULL.
     */
    void (*on_stopped)(void *user_data);
} primacy_callbacks;

/**
 * A queue of events.
 */
typedef uint64_t primacy_queue;

/**
 * A transaction under construction.
 */
typedef uint64_t primacy_txn;

/**
 * A key with what etcd knows of it.
 */
typedef struct primacy_key_value {
    /**
     * Set it to `sizeof(primacy_key_value)`.
     */
    size_t struct_size;
    /**
     * The key, `key_size` bytes; lives as long as the result.
     */
    const char *key;
    /**
     * Its size in bytes.
     */
    size_t key_size;
    /**
     * The value, `value_size` bytes; lives as long as the result.
     */
    const char *value;
    /**
     * Its size in bytes.
     */
    size_t value_size;
    /**
     * The revision that created the key.
     */
    int64_t create_revision;
    /**
     * The revision that wrote it last.
     */
    int64_t mod_revision;
    /**
     * How often it was written since it was created.
     */
    int64_t version;
    /**
     * The lease that it hangs on; 0: none.
     */
    int64_t lease;
} primacy_key_value;

/**
 * Who is primary. All zero: nobody is.
 */
typedef struct primacy_primary {
    /**
     * Set it to `sizeof(primacy_primary)`.
     */
    size_t struct_size;
    /**
     * Its server id; 0: there is no primary.
     */
    int64_t server_id;
    /**
     * The fencing token of its win; 0: there is no primary.
     */
    int64_t token;
    /**
     * Where it serves, `host:port`; "" if there is no primary, or its address is longer than any address.
     */
    char address[PRIMACY_ADDRESS_SIZE];
    /**
     * 1: its `on_primary` has succeeded under this token, so that it serves; also of a coordinator that does not
     * say, as Milvus's own do not. 0: not yet, or there is no primary.
     */
    int32_t ready;
    /**
     * Always 0.
     */
    int32_t reserved;
} primacy_primary;

/**
 * What an observer calls. See `primacy_observer_open`.
 */
typedef struct primacy_observer_callbacks {
    /**
     * `sizeof(primacy_observer_callbacks)`.
     */
    size_t struct_size;
    /**
     * There is another primary, it has become ready, or (`token` 0) there is none: one at a time, in order; a
     * state that passed while it ran may be left out. `primary` lives until it returns. Must return soon. May be
     * NULL.
     */
    void (*on_change)(void *user_data, const struct primacy_primary *primary);
    /**
     * The last use of `user_data`. May be NULL.
     */
    void (*on_stopped)(void *user_data);
} primacy_observer_callbacks;

/**
 * An observer of one role.
 */
typedef uint64_t primacy_observer;

/**
 * Something that happened, and to whom.
 */
typedef struct primacy_event {
    /**
     * Set it to `sizeof(primacy_event)`.
     */
    size_t struct_size;
    /**
     * What you gave as a name for the election or observer.
     */
    uint64_t tag;
    /**
     * One of `PRIMACY_EVENT_...`; newer libraries may have more, so ignore what you do not know.
     */
    int32_t kind;
    /**
     * Call, notice: which one. Observed: 1, the primary is ready.
     */
    int32_t detail;
    /**
     * Call, cancelled: its id.
     */
    uint64_t call;
    /**
     * `on_lost`: one of `PRIMACY_LOST_...`; else 0.
     */
    int32_t reason;
    /**
     * Always 0.
     */
    int32_t reserved;
    /**
     * The fencing token, as in `primacy_call`, `primacy_notice` or `primacy_primary`; else 0.
     */
    int64_t token;
    /**
     * `on_primary`, `on_lost`: the etcd lease that the win stands on; else 0.
     */
    int64_t lease;
    /**
     * The server id of the holder or of the observed primary; 0: there is none, or it is not known.
     */
    int64_t server_id;
    /**
     * Its address; "" where there is none.
     */
    char address[PRIMACY_ADDRESS_SIZE];
} primacy_event;

/**
 * Where a session stands, at one moment.
 */
typedef struct primacy_session_state {
    /**
     * Set it to `sizeof(primacy_session_state)`.
     */
    size_t struct_size;
    /**
     * One of `PRIMACY_SESSION_...`.
     */
    int32_t state;
    /**
     * 1: the last renewal of the lease got no answer in time.
     */
    int32_t suspended;
    /**
     * Its server id in etcd.
     */
    int64_t server_id;
    /**
     * Its lease in etcd; 0: none at the moment.
     */
    int64_t lease;
    /**
     * As etcd granted it; 0: no lease.
     */
    uint64_t ttl_ms;
    /**
     * How long the lease is surely ours.
     */
    uint64_t remaining_ms;
    /**
     * etcd's highest revision seen.
     */
    int64_t revision;
    /**
     * How many elections it has.
     */
    uint64_t elections;
    /**
     * What works now and may yet end badly, such as a short TTL or an old etcd, for people, one a line; "": nothing.
     */
    char warnings[PRIMACY_WARNINGS_SIZE];
} primacy_session_state;

/**
 * Where an election stands, at one moment. Whether it is primary is asked by `primacy_election_is_primary`.
 */
typedef struct primacy_election_state {
    /**
     * Set it to `sizeof(primacy_election_state)`.
     */
    size_t struct_size;
    /**
     * One of `PRIMACY_ELECTION_...`.
     */
    int32_t state;
    /**
     * 1: the last warm-up said "warm".
     */
    int32_t warm;
    /**
     * The fencing token of the win, also while it drains; 0: none.
     */
    int64_t token;
    /**
     * The calls that are running: for each the bit `1 << PRIMACY_CALL_...`.
     */
    uint32_t running;
    /**
     * 1: its record in etcd says that the server is going to stop.
     */
    int32_t stopping;
    /**
     * The revision at which its record was written last; 0: it is not in etcd, or not under the present lease.
     */
    int64_t record_revision;
    /**
     * The lock's holder; 0: there is none, or it is not known.
     */
    int64_t holder_id;
    /**
     * The holder's fencing token.
     */
    int64_t holder_token;
    /**
     * The holder's lease.
     */
    int64_t holder_lease;
    /**
     * The holder's address; "": there is none.
     */
    char holder_address[PRIMACY_ADDRESS_SIZE];
    /**
     * What troubles it, for people; "": nothing does.
     */
    char trouble[PRIMACY_ADDRESS_SIZE];
    /**
     * The same for programs: one of `PRIMACY_OBSTACLE_...`, 0: nothing does. Newer libraries may have more.
     */
    int32_t obstacle;
    /**
     * Always 0.
     */
    int32_t reserved;
} primacy_election_state;

/**
 * A request that is under way with a lent store. Valid until it is completed or given up.
 */
typedef uint64_t primacy_request;

/**
 * One key of etcd, or those of a span. As other structs of a lent store that come in arrays, it never grows.
 */
typedef struct primacy_range {
    /**
     * The key, or the first one of the span.
     */
    const char *key;
    /**
     * Its size in bytes.
     */
    size_t key_size;
    /**
     * The first key after the span; NULL: the key alone.
     */
    const char *end;
    /**
     * Its size in bytes.
     */
    size_t end_size;
} primacy_range;

/**
 * A comparison of a transaction: it holds if all keys of the range are equal in this. Of a key that is not there,
 * and of a span without keys, etcd takes `version`, `mod_revision` and `lease` for 0.
 */
typedef struct primacy_compare {
    /**
     * Of what.
     */
    struct primacy_range range;
    /**
     * One of `PRIMACY_COMPARE_...`.
     */
    int32_t target;
    /**
     * Always 0.
     */
    int32_t reserved;
    /**
     * What a number must be equal to.
     */
    int64_t number;
    /**
     * What a value must be equal to, `value_size` bytes.
     */
    const char *value;
    /**
     * Its size in bytes.
     */
    size_t value_size;
} primacy_compare;

/**
 * An operation of a transaction.
 */
typedef struct primacy_op {
    /**
     * One of `PRIMACY_OP_...`.
     */
    int32_t kind;
    /**
     * Always 0.
     */
    int32_t reserved;
    /**
     * What is read; or the key that is written or deleted.
     */
    struct primacy_range range;
    /**
     * What is put, `value_size` bytes.
     */
    const char *value;
    /**
     * Its size in bytes.
     */
    size_t value_size;
    /**
     * The lease to put it on; 0: none.
     */
    int64_t lease;
} primacy_op;

/**
 * A transaction for a lent store: if all comparisons hold, or there are none, `then`, else `otherwise`; in one
 * revision. One without puts and deletes is a linearizable read, never a serializable one.
 */
typedef struct primacy_store_txn {
    /**
     * The library's `sizeof(primacy_store_txn)`: fields beyond it are not there.
     */
    size_t struct_size;
    /**
     * The comparisons.
     */
    const struct primacy_compare *compares;
    /**
     * How many.
     */
    size_t compares_count;
    /**
     * What is done if all of them hold.
     */
    const struct primacy_op *then;
    /**
     * How many.
     */
    size_t then_count;
    /**
     * What is done if not.
     */
    const struct primacy_op *otherwise;
    /**
     * How many.
     */
    size_t otherwise_count;
} primacy_store_txn;

/**
 * A watch of a lent store. Valid until it has ended, or is not wanted any more.
 */
typedef uint64_t primacy_watch;

/**
 * What a host lends to the library: an etcd client of its own, behind these functions. See
 * `primacy_config_set_store`.
 *
 * The first four begin a request and return; what came of it is said by `primacy_request_complete`, later or at once,
 * by any thread. Each is sent to etcd once: what may have been sent is not sent again, or it may happen twice. The
 * library waits for `timeout_ms` and then takes it for unknown; who can should end it then too, by a deadline.
 *
 * All are called on threads of the library, never on the one that keeps leases, one after the other for each session
 * and observer, and several at a time where there are several of those. They must return soon, and not call what
 * blocks (`PRIMACY_E_DEADLOCK`): as long as one has not returned, the next of that session waits. What pointers lead
 * to lives until the function returns; those to nothing, with a count or size of 0, are NULL.
 */
typedef struct primacy_store {
    /**
     * `sizeof(primacy_store)`.
     */
    size_t struct_size;
    /**
     * Makes a lease: under the id `lease`, and no other, for `ttl_s` seconds. Required.
     */
    void (*grant)(void *user_data, primacy_request request, int64_t lease, int64_t ttl_s, uint64_t timeout_ms);
    /**
     * Renews a lease once, with a request that is sent now: an answer to an earlier one is none to this. Required.
     */
    void (*keep_alive)(void *user_data, primacy_request request, int64_t lease, uint64_t timeout_ms);
    /**
     * Ends a lease. Required.
     */
    void (*revoke)(void *user_data, primacy_request request, int64_t lease, uint64_t timeout_ms);
    /**
     * Runs a transaction, or reads. Required.
     */
    void (*txn)(void *user_data,
                primacy_request request,
                const struct primacy_store_txn *txn,
                uint64_t timeout_ms);
    /**
     * Watches `ranges_count` ranges from now on, without a start revision, on a member that has a leader
     * (`hasleader`); `primacy_watch_confirmed`, `primacy_watch_events` and `primacy_watch_ended` say what becomes of
     * it. One that is not confirmed within 15 seconds is given up. Required.
     */
    void (*watch)(void *user_data,
                  primacy_watch watch,
                  const struct primacy_range *ranges,
                  size_t ranges_count);
    /**
     * The watch is not wanted any more. Not called for one of which `primacy_watch_ended` has returned
     * `PRIMACY_OK`; it may be called while another thread is in there. Required.
     */
    void (*unwatch)(void *user_data, primacy_watch watch);
    /**
     * The last use of `user_data`. May be NULL.
     */
    void (*on_stopped)(void *user_data);
} primacy_store;

/**
 * The keys that one get found, in the order of their bytes. It never grows.
 */
typedef struct primacy_found {
    /**
     * The keys, each with its `struct_size`.
     */
    const struct primacy_key_value *key_values;
    /**
     * How many.
     */
    size_t count;
} primacy_found;

/**
 * What came of a request to a lent store. Set all of it to zero, then `struct_size` and what its request wants.
 */
typedef struct primacy_answer {
    /**
     * `sizeof(primacy_answer)`.
     */
    size_t struct_size;
    /**
     * One of `PRIMACY_FAILURE_...`, and then only `message` counts besides; 0: it was done.
     */
    int32_t failure;
    /**
     * Of a transaction: not 0 if all comparisons held, so that `then` was done.
     */
    int32_t succeeded;
    /**
     * Of a failure, what the client says, for people. May be NULL.
     */
    const char *message;
    /**
     * Of a grant or renewal: what etcd granted, in seconds. Of a renewal, 0: there is no such lease, which etcd says
     * so and not as an error.
     */
    int64_t ttl_s;
    /**
     * Of a renewal or transaction: `cluster_id` of the answer's header.
     */
    uint64_t cluster_id;
    /**
     * Of a renewal or transaction: `raft_term` of the answer's header. A renewal only counts if a later answer bears
     * the same, so it must be the one of this answer and no other.
     */
    uint64_t raft_term;
    /**
     * Of a transaction: `revision` of the answer's header.
     */
    int64_t revision;
    /**
     * Of a transaction: what each get of the branch that was done has found, in their order.
     */
    const struct primacy_found *found;
    /**
     * How many gets that branch has.
     */
    size_t found_count;
} primacy_answer;

/**
 * It did what it says.
 */
#define PRIMACY_OK 0

/**
 * A defect of the library; the call was abandoned. The message says where. Please report it.
 */
#define PRIMACY_E_INTERNAL 1

/**
 * A pointer that must be set is NULL; the message says which.
 */
#define PRIMACY_E_NULL 2

/**
 * No such handle: 0, made up, freed, or of another kind.
 */
#define PRIMACY_E_HANDLE 3

/**
 * A text is not UTF-8.
 */
#define PRIMACY_E_UTF8 4

/**
 * A value that can not be used here; the message says which would do.
 */
#define PRIMACY_E_ARGUMENT 5

/**
 * `struct_size` is too small, or what lies beyond the fields that this library knows is not zero.
 */
#define PRIMACY_E_STRUCT_SIZE 6

/**
 * Called in a process that was forked after the library was in use. See "Fork" above.
 */
#define PRIMACY_E_FORKED 7

/**
 * It would wait inside a callback for that callback's own end. See "Callbacks" above.
 */
#define PRIMACY_E_DEADLOCK 8

/**
 * Not over within the time given.
 */
#define PRIMACY_E_TIMEOUT 9

/**
 * The session, election or observer was stopped.
 */
#define PRIMACY_E_STOPPED 10

/**
 * No thread, descriptor or memory left; the message says which.
 */
#define PRIMACY_E_SYSTEM 11

/**
 * No setting has this name.
 */
#define PRIMACY_E_CONFIG_NAME 20

/**
 * The setting does not take this value; the message says which would do.
 */
#define PRIMACY_E_CONFIG_VALUE 21

/**
 * Settings that do not fit together; the message names them.
 */
#define PRIMACY_E_CONFIG_RELATION 22

/**
 * What identifies the candidate is incomplete or malformed; the message says what would do.
 */
#define PRIMACY_E_CANDIDATE 23

/**
 * This name can not be a role; the message says why.
 */
#define PRIMACY_E_ROLE 24

/**
 * This session runs the role already, or one that excludes it.
 */
#define PRIMACY_E_ROLE_TAKEN 25

/**
 * etcd can not be reached, or can not serve now: no leader, no space. Nothing happened. Trying again can help.
 */
#define PRIMACY_E_UNREACHABLE 30

/**
 * No answer from etcd: it may have happened, or may happen a little later. Read before you decide.
 */
#define PRIMACY_E_INDEFINITE 31

/**
 * Wrong password, certificate or permission. Nothing happened, and it stays so until somebody changes it.
 */
#define PRIMACY_E_DENIED 32

/**
 * etcd refused the request as such, such as one too large: the message says which. Nothing happened.
 */
#define PRIMACY_E_REFUSED 33

/**
 * Not the primary of this token (any more). Nothing was written.
 */
#define PRIMACY_E_NOT_PRIMARY 40

/**
 * Still the primary, but a comparison of your own did not hold. Nothing was written; the result has the
 * reads.
 */
#define PRIMACY_E_CONFLICT 41

/**
 * No such call is waiting: it was completed before, or never made.
 */
#define PRIMACY_E_CALL 42

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * Says in one sentence what a status means and what to do.
 *
 * Never NULL; the text lives as long as the library. Any thread, does not block.
 */
const char *primacy_status_string(primacy_status status);

/**
 * Whether the same call may succeed later without anybody changing anything: 1 or 0.
 *
 * 1 for `PRIMACY_E_UNREACHABLE`, `PRIMACY_E_TIMEOUT` and `PRIMACY_E_SYSTEM`. Not for `PRIMACY_E_INDEFINITE`:
 * what it was may have happened, so repeated blindly it may happen twice; read first. Any thread, does not
 * block.
 */
int32_t primacy_status_may_pass(primacy_status status);

/**
 * The status that the failed function answered; `PRIMACY_OK` for NULL.
 *
 * Any thread, does not block.
 */
primacy_status primacy_error_status(const struct primacy_error *error);

/**
 * What went wrong and what would do, for people; "" for NULL. Lives as long as the error object.
 *
 * Any thread, does not block.
 */
const char *primacy_error_message(const struct primacy_error *error);

/**
 * Ends an error object. NULL is allowed; twice is not.
 *
 * Any thread, does not block.
 */
void primacy_error_free(struct primacy_error *error);

/**
 * Ends a text that the library handed over. NULL is allowed; twice is not.
 *
 * Any thread, does not block.
 */
void primacy_string_free(char *string);

/**
 * The version of the library that is running, such as "0.1.0".
 *
 * Compare it with `PRIMACY_VERSION`, the one that was compiled against. Never NULL; lives as long as the
 * library. Any thread, does not block.
 */
const char *primacy_version(void);

/**
 * Makes a configuration with the defaults of the table of settings, and no log.
 *
 * Any thread, does not block. `PRIMACY_E_NULL`.
 */
primacy_status primacy_config_new(primacy_config *config_out);

/**
 * Sets one setting, by the name and in the text form of the table of settings (durations there say their
 * unit).
 *
 * What was opened with the configuration before does not change. Any thread, does not block.
 *
 * `PRIMACY_E_CONFIG_NAME`: no such name. `PRIMACY_E_CONFIG_VALUE`: malformed or out of range. Whether
 * settings fit together is checked when the configuration is used. `PRIMACY_E_NULL`, `PRIMACY_E_UTF8`,
 * `PRIMACY_E_HANDLE`.
 */
primacy_status primacy_config_set(primacy_config config,
                                  const char *name,
                                  const char *value,
                                  struct primacy_error **error_out);

/**
 * Sets where sessions and observers that are opened with this configuration from now on log to.
 *
 * Without it they log nowhere; the library itself writes to no file and no stream. The log belongs to the
 * configuration and not to the process, so that two users of the library in one process do not take each
 * other's. `user_data` is handed to the callbacks; `on_stopped` tells when it is not needed any more, which
 * is after this configuration and all that was opened with it have been freed, or the log was set anew.
 *
 * `log` is copied; NULL: no log. Any thread, does not block. `PRIMACY_E_STRUCT_SIZE`, `PRIMACY_E_NULL` (no
 * `on_line`), `PRIMACY_E_ARGUMENT` (no such level), `PRIMACY_E_HANDLE`. After an error `on_stopped` is not
 * called.
 */
primacy_status primacy_config_set_log(primacy_config config,
                                      const struct primacy_log *log,
                                      void *user_data,
                                      struct primacy_error **error_out);

/**
 * Ends a configuration. What was opened with it goes on.
 *
 * Any thread, does not block. `PRIMACY_E_HANDLE`.
 */
primacy_status primacy_config_free(primacy_config config);

/**
 * Opens a session: connects to etcd, asks for a lease, takes a server id.
 *
 * `config` and `candidate` are copied; both may be freed or changed afterwards. Blocks up to the setting
 * `etcd.requestTimeout`. Any thread, also inside a callback of an election. If it fails, nothing is left
 * over.
 *
 * `primacy_status_may_pass(status)` says whether trying again can help: it does for `PRIMACY_E_UNREACHABLE`
 * and `PRIMACY_E_SYSTEM`, not for `PRIMACY_E_DENIED`, `PRIMACY_E_REFUSED`, `PRIMACY_E_CONFIG_VALUE`,
 * `PRIMACY_E_CONFIG_RELATION`, `PRIMACY_E_CANDIDATE`, `PRIMACY_E_ARGUMENT`, `PRIMACY_E_STRUCT_SIZE`,
 * `PRIMACY_E_NULL`, `PRIMACY_E_UTF8`, `PRIMACY_E_HANDLE`, `PRIMACY_E_DEADLOCK`.
 */
primacy_status primacy_session_open(primacy_config config,
                                    const struct primacy_candidate *candidate,
                                    primacy_session *session_out,
                                    struct primacy_error **error_out);

/**
 * Begins what `primacy_session_open` does, and returns at once: no thread waits. `on_result` is called once, with
 * `PRIMACY_OK` when the session is open, else with why it is not; maybe before this returns, and without a result.
 *
 * `*session_out` is there at once, to be freed in either case. Elections can be registered on it before it is open: they
 * begin when it is. `primacy_session_stop`, `_close` and `_free` end an opening that is under way, within 100 ms whatever
 * etcd does; `on_result` hears of it by `PRIMACY_E_STOPPED`. `user_data` is handed to `on_result`, and not used if this
 * fails. Any thread, also inside a callback, does not block.
 *
 * The statuses are those of `primacy_session_open`; those that are known at once are answered here.
 */
primacy_status primacy_session_start_open(primacy_config config,
                                          const struct primacy_candidate *candidate,
                                          primacy_on_result on_result,
                                          void *user_data,
                                          primacy_session *session_out,
                                          struct primacy_error **error_out);

/**
 * The session's server id in etcd: positive, and kept for as long as the session lives, unless etcd is put
 * back to an older state. 0: it is not open yet.
 *
 * Any thread, does not block. `PRIMACY_E_NULL`, `PRIMACY_E_HANDLE`.
 */
primacy_status primacy_session_server_id(primacy_session session, int64_t *server_id_out);

/**
 * Adds an election to the session: puts the candidate's record for `role` in etcd, and nothing else until
 * `primacy_election_campaign`.
 *
 * Returns at once; the record follows. `role` and `callbacks` are copied. `user_data` is handed to the
 * callbacks and must stay good until `on_stopped`, which comes exactly once if this succeeds and never if it
 * fails. Any thread, also inside a callback.
 *
 * `PRIMACY_E_ROLE`: the name is refused (empty, `id`, `version`, with a slash, or ending in `-<digits>`).
 * `PRIMACY_E_ROLE_TAKEN`: the session runs it already, or runs mixcoord beside one of its three.
 * `PRIMACY_E_STOPPED`. `PRIMACY_E_STRUCT_SIZE`, `PRIMACY_E_NULL`, `PRIMACY_E_UTF8`, `PRIMACY_E_HANDLE`.
 */
primacy_status primacy_session_register(primacy_session session,
                                        const char *role,
                                        const struct primacy_callbacks *callbacks,
                                        void *user_data,
                                        primacy_election *election_out,
                                        struct primacy_error **error_out);

/**
 * Adds an election to the session as `primacy_session_register` does, with an event queue in place of
 * callbacks: each call arrives there as an event under `tag`, and is ended by `primacy_election_complete`.
 *
 * The election uses the queue until the event `PRIMACY_EVENT_STOPPED`. Returns at once. Any thread, also
 * inside a callback. The statuses are those of `primacy_session_register`.
 */
primacy_status primacy_session_register_queued(primacy_session session,
                                               const char *role,
                                               primacy_queue queue,
                                               uint64_t tag,
                                               primacy_election *election_out,
                                               struct primacy_error **error_out);

/**
 * Reads, linearizably: never older than what any finished write left.
 *
 * `txn` has gets only. Blocks up to `timeout_ms`. Any thread, also inside a callback of an election. The
 * read stands under no token: to write what depends on it, compare the key's `mod_revision` in the commit.
 *
 * `PRIMACY_E_UNREACHABLE`, `PRIMACY_E_INDEFINITE`: no answer in time; reading again does no harm.
 * `PRIMACY_E_DENIED`, `PRIMACY_E_REFUSED`. `PRIMACY_E_ARGUMENT`: `txn` compares or writes, or is empty, or
 * `timeout_ms` is 0. `PRIMACY_E_DEADLOCK`, `PRIMACY_E_NULL`, `PRIMACY_E_HANDLE`.
 */
primacy_status primacy_session_read(primacy_session session,
                                    primacy_txn txn,
                                    uint64_t timeout_ms,
                                    primacy_result *result_out,
                                    struct primacy_error **error_out);

/**
 * Begins what `primacy_session_read` does, and returns at once: no thread waits. `on_result` is called once.
 *
 * `timeout_ms` may be `PRIMACY_AS_CONFIGURED`: the setting `etcd.requestTimeout`. `user_data` is handed to
 * `on_result`, and not used if this fails. Any thread, also inside a callback, does not block.
 *
 * The statuses are those of `primacy_session_read`; those that are known at once are answered here.
 */
primacy_status primacy_session_start_read(primacy_session session,
                                          primacy_txn txn,
                                          uint64_t timeout_ms,
                                          primacy_on_result on_result,
                                          void *user_data,
                                          struct primacy_error **error_out);

/**
 * What the session and its elections are doing now, as one JSON object, for status pages and tests.
 *
 * `*json_out` is yours; end it with `primacy_string_free`. Lease ids are texts, since they do not fit into a
 * number of JavaScript. Fields may be added; none change their meaning. Any thread, does not block.
 * `PRIMACY_E_NULL`, `PRIMACY_E_HANDLE`.
 */
primacy_status primacy_session_snapshot_json(primacy_session session,
                                             char **json_out,
                                             struct primacy_error **error_out);

/**
 * What probes ask of this process, by role, as one JSON object: is it `alive`, `ready` to serve or to take over at once,
 * `primary`; each as `{"ok":BOOL,"why":TEXT}`, where `why` is for people, and empty where it is so. They stand there for the
 * process, which is what each of its elections is, and under `roles` for each role. `docs/deploy.md` has the table of all
 * states.
 *
 * `*json_out` is yours; end it with `primacy_string_free`. It asks nothing of etcd. Fields may be added; none change their
 * meaning. Any thread, does not block. `PRIMACY_E_NULL`, `PRIMACY_E_HANDLE`.
 */
primacy_status primacy_session_health_json(primacy_session session,
                                           char **json_out,
                                           struct primacy_error **error_out);

/**
 * Says that this server is going to stop: the records of its candidates, never the locks, have Milvus's
 * `"Stopping":true` from now on, whatever they are rewritten for later. Milvus's readers take work away from
 * such a server. Nothing else changes: elections go on until they are stopped.
 *
 * Returns at once; the records follow, and the fields `stopping` of the snapshots say when. It can not be taken
 * back; again: nothing. Any thread, also inside a callback, does not block. `PRIMACY_E_HANDLE`.
 */
primacy_status primacy_session_mark_stopping(primacy_session session);

/**
 * Begins to stop the session with all its elections: those that are primary get `on_lost`, their locks are
 * released when their callbacks have returned, records and lease are removed from etcd.
 *
 * Returns at once. Within `timeout_ms` the session is through with etcd, whatever that and the callbacks do; a
 * later stop can only shorten that. What could not be removed there ends with the lease. While a callback
 * hangs, `primacy_session_join` answers `PRIMACY_E_TIMEOUT`, and `on_stopped` of its election comes when it is
 * completed. Inside a callback of this session it takes effect when that call is completed. Any thread.
 *
 * `PRIMACY_E_HANDLE`.
 */
primacy_status primacy_session_stop(primacy_session session,
                                    uint64_t timeout_ms);

/**
 * Waits until the session has stopped and no callback of it runs any more. It does not stop it.
 *
 * Blocks up to `timeout_ms`; 0: only asks. Any thread, several at a time.
 *
 * `PRIMACY_E_TIMEOUT`: something still runs. `PRIMACY_E_DEADLOCK`: inside a callback. `PRIMACY_E_HANDLE`.
 */
primacy_status primacy_session_join(primacy_session session, uint64_t timeout_ms);

/**
 * Stops a session and waits until it is over: how a host closes one, which it frees afterwards.
 *
 * `timeout_ms` is that of `primacy_session_stop`; `PRIMACY_AS_CONFIGURED`: what an earlier stop left, or the setting
 * `primacy.drain_timeout_ms`. Blocks for as long at most, by a clock that counts suspend, and half a second more for
 * the news of the end. `unread` not 0: nobody takes events from the queues of its elections any more, such as the
 * thread that closes here, so calls that wait there fail, and those that would come. Again: waits again, and says the
 * same. Any thread, several at a time.
 *
 * `PRIMACY_E_TIMEOUT`: a callback has not returned or was not completed; the message names the roles. All else is
 * over. `PRIMACY_E_DEADLOCK`: inside a callback. `PRIMACY_E_HANDLE`.
 */
primacy_status primacy_session_close(primacy_session session,
                                     uint64_t timeout_ms,
                                     int32_t unread,
                                     struct primacy_error **error_out);

/**
 * Ends a session. The handle is invalid at once.
 *
 * Closes it as `primacy_session_close` does with `PRIMACY_AS_CONFIGURED`. With `PRIMACY_OK` no callback of it runs any more. `PRIMACY_E_TIMEOUT`: a callback of
 * the host still hangs, so its `user_data` must stay good until `on_stopped`. Inside a callback it does not
 * wait, answers `PRIMACY_OK`, and the rest follows when that call is completed. Its elections' handles stay
 * valid, to complete what is pending and to be freed themselves. Any thread.
 *
 * `PRIMACY_E_HANDLE`.
 */
primacy_status primacy_session_free(primacy_session session);

/**
 * The name of a reason of `on_lost`, such as "lease_expired": the one that logs, Go and Python show.
 *
 * Never NULL; lives as long as the library. Any thread, does not block.
 */
const char *primacy_lost_string(int32_t reason);

/**
 * The name of a callback, by `PRIMACY_CALL_...`, such as "on_warmup"; else as `primacy_lost_string`.
 */
const char *primacy_call_string(int32_t kind);

/**
 * Campaigns from now on: `on_primary` follows if nobody holds the lock, else `on_standby`.
 *
 * Returns at once; twice does no harm. Any thread, also inside a callback. `PRIMACY_E_HANDLE`.
 */
primacy_status primacy_election_campaign(primacy_election election);

/**
 * Hands primacy over to a warm standby, if this process has it, and goes on as a standby.
 *
 * `server_id` names the standby; 0: the best one, which is the one of the highest `primacy.priority`, and of those the
 * one that has been there for longest. It is asked first, by way of etcd, and has half a second to agree, more at a
 * slow etcd; then the next one is asked, three at most. Until one has agreed this process is primary, and it stays so
 * if none does: the log says why. Then `on_lost` follows, with `PRIMACY_LOST_TRANSFERRED`, and when it has ended one
 * transaction makes the standby primary: there is no moment without a holder of the lock. When that took long, the
 * standby is asked once more. Should it have gone by then, the next one is asked; where there is none this process is
 * primary again, by another `on_primary` with a new token.
 *
 * Returns at once; without primacy, or while it is being handed over already, nothing happens. Inside a callback of this
 * election it takes effect when that call is completed. Any thread. `PRIMACY_E_ARGUMENT`: `server_id` is negative.
 * `PRIMACY_E_HANDLE`.
 */
primacy_status primacy_election_transfer(primacy_election election,
                                         int64_t server_id);

/**
 * Says that the host is well, which a primary has to within each `primacy.liveness_timeout_ms`, where that is set.
 *
 * The lease is renewed by the library's own threads, whatever those of the host do, so that a host that hangs would stay
 * primary for as long as its process lives. Call this from where the work is done, such as once in each round of a loop, and
 * not from a timer of its own. The time counts from the last such call, or from the end of `on_primary`. Where it runs out,
 * pauses of the whole process included, primacy is given up: `on_lost` with `PRIMACY_LOST_LIVENESS_EXPIRED`; the lock is
 * released when that has returned, or `primacy.drain_timeout_ms` later, and this process lets others go first. While
 * `on_primary` runs, and without primacy, it may be called and need not be; who has called it in `on_primary` has to go on.
 *
 * Cheap, and never blocks; without the setting nothing happens. Any thread, also inside a callback. `PRIMACY_E_HANDLE`.
 */
primacy_status primacy_election_healthy(primacy_election election);

/**
 * Gives primacy up, if this process has it, and goes on as a standby that lets others go first.
 *
 * A warm standby takes over as by `primacy_election_transfer`, which see; if there is none, or none that answers, the
 * lock is released. Returns at once; `on_lost` follows. Inside a callback of this election it takes effect when that
 * call is completed. Any thread. `PRIMACY_E_HANDLE`.
 */
primacy_status primacy_election_resign(primacy_election election);

/**
 * Begins to end this election; the session and its other elections go on.
 *
 * A primary gets `on_lost`, the lock is handed over to a warm standby as by `primacy_election_transfer` or released, the
 * candidate's record removed, `on_stopped` called.
 * Returns at once. Within `timeout_ms` this process has let go of the lock, whatever etcd and the callbacks
 * do; where etcd can not be reached, its keys there end with the lease. A callback that hangs keeps nobody
 * else out: `primacy_election_join` answers `PRIMACY_E_TIMEOUT`, and `on_stopped` comes when it is completed.
 * Inside a callback of this election it takes effect when that call is completed. Any thread.
 * `PRIMACY_E_HANDLE`.
 */
primacy_status primacy_election_stop(primacy_election election,
                                     uint64_t timeout_ms);

/**
 * Waits until the election has ended and no callback of it runs any more. It does not stop it.
 *
 * Blocks up to `timeout_ms`; 0: only asks. Any thread, several at a time.
 *
 * `PRIMACY_E_TIMEOUT`: something still runs. `PRIMACY_E_DEADLOCK`: inside a callback. `PRIMACY_E_HANDLE`.
 */
primacy_status primacy_election_join(primacy_election election, uint64_t timeout_ms);

/**
 * Stops an election and waits until it is over, as `primacy_session_close` does for a session and all its elections,
 * which see. A stop of its session counts as one of its own.
 */
primacy_status primacy_election_close(primacy_election election,
                                      uint64_t timeout_ms,
                                      int32_t unread,
                                      struct primacy_error **error_out);

/**
 * Ends an election. The handle is invalid at once, save to complete calls that are pending, until
 * `on_stopped`.
 *
 * Closes it as `primacy_election_close` does with `PRIMACY_AS_CONFIGURED`. With `PRIMACY_OK` no callback of it runs any more. `PRIMACY_E_TIMEOUT`: a callback still
 * hangs or was never completed, so `user_data` must stay good until `on_stopped`. Inside a callback it does
 * not wait, answers `PRIMACY_OK`, and the rest follows when that call is completed. Any thread.
 *
 * `PRIMACY_E_HANDLE`.
 */
primacy_status primacy_election_free(primacy_election election);

/**
 * Ends a call whose callback answered `PRIMACY_PENDING`, or is about to.
 *
 * `call` is `primacy_call.call`; `outcome` is `PRIMACY_DONE`, `PRIMACY_WARM` or `PRIMACY_FAILED`; `message`
 * says why it failed, or is NULL. Each call is completed once, also one that was cancelled. Any thread, also
 * before the callback has returned, and also after `primacy_election_free`. Does not block.
 *
 * `PRIMACY_E_CALL`: no such call is waiting. `PRIMACY_E_ARGUMENT`: no such outcome. `PRIMACY_E_UTF8`,
 * `PRIMACY_E_HANDLE`.
 */
primacy_status primacy_election_complete(primacy_election election,
                                         uint64_t call,
                                         int32_t outcome,
                                         const char *message);

/**
 * Whether a call should end soon: 1 or 0. For a callback that blocks and looks now and then, instead of
 * `on_cancelled`.
 *
 * 1 too if no such call is running, or the handle is no good: then there is nothing to go on for. Any
 * thread, does not block.
 */
int32_t primacy_election_is_cancelled(primacy_election election, uint64_t call);

/**
 * Whether this process is the primary, now, by the clock: 1 or 0, and nothing else.
 *
 * It compares the time with the deadline of the lease at each call, so it answers 0 in time also when the
 * process was paused or cut off from etcd. Where it is 1, `*token_out` is the fencing token of the same win;
 * else 0. Every error is 0; `*status_out` has its status (`PRIMACY_E_HANDLE`, `PRIMACY_E_FORKED`) or
 * `PRIMACY_OK`. Both may be NULL. Between the answer and what you do with it time passes: what must never be
 * written by a former primary is written by `primacy_election_commit`. Any thread; never waits.
 */
int32_t primacy_election_is_primary(primacy_election election,
                                    int64_t *token_out,
                                    primacy_status *status_out);

/**
 * For how many milliseconds this process can still be sure to be the primary, should no renewal come; 0: it
 * is not.
 *
 * Start nothing that takes longer. Every error is 0, with its status in `*status_out`, which may be NULL.
 * Any thread; never waits.
 */
uint64_t primacy_election_remaining_ms(primacy_election election, primacy_status *status_out);

/**
 * The guarded write: commits `txn` in one etcd transaction that also compares that the lock is still held by
 * the win of `token`. By anyone but the present holder it never commits, however late it arrives.
 *
 * `token` is the one that `on_primary` or `primacy_election_is_primary` gave: remember it with the work that
 * it covers, and do not ask again before the write. Blocks up to `timeout_ms`. Any thread, also inside a
 * callback of an election; after `on_lost` has begun too, as long as the lock has not been released.
 *
 * `*result_out`, which may be NULL, is yours with `PRIMACY_OK` and with `PRIMACY_E_CONFLICT`; end it with
 * `primacy_result_free`.
 *
 * `PRIMACY_E_NOT_PRIMARY`: for sure nothing was written, nor will be. `PRIMACY_E_CONFLICT`: still primary,
 * but a comparison of your own did not hold; nothing was written. `PRIMACY_E_INDEFINITE`: it may have been
 * written, or will be a little later. `PRIMACY_E_UNREACHABLE`, `PRIMACY_E_DENIED`, `PRIMACY_E_REFUSED` (a
 * batch too large is refused, never split): nothing was written. `PRIMACY_E_ARGUMENT`: `timeout_ms` is 0, or
 * `txn` writes the election's own lock. `PRIMACY_E_DEADLOCK`, `PRIMACY_E_HANDLE`.
 *
 * etcd takes 128 of each kind in a transaction (its `--max-txn-ops`), and the guard is among them: of your
 * own, 126 comparisons and 126 gets (120 each for a mixcoord), and 128 puts, deletes and gets together.
 */
primacy_status primacy_election_commit(primacy_election election,
                                       int64_t token,
                                       primacy_txn txn,
                                       uint64_t timeout_ms,
                                       primacy_result *result_out,
                                       struct primacy_error **error_out);

/**
 * Begins what `primacy_election_commit` does, and returns at once: no thread waits, and any number may be under way.
 * `on_result` is called once, also if the session ends meanwhile.
 *
 * `timeout_ms` may be `PRIMACY_AS_CONFIGURED`: the setting `etcd.requestTimeout`. `user_data` is handed to
 * `on_result`, and not used if this fails. Any thread, also inside a callback, does not block.
 *
 * The statuses are those of `primacy_election_commit`; those that are known at once are answered here.
 */
primacy_status primacy_election_start_commit(primacy_election election,
                                             int64_t token,
                                             primacy_txn txn,
                                             uint64_t timeout_ms,
                                             primacy_on_result on_result,
                                             void *user_data,
                                             struct primacy_error **error_out);

/**
 * What `primacy_election_commit` compares besides your own, for writes to the same etcd by a client of your
 * own: add them all to each transaction, and it commits for nobody but the holder of this win.
 *
 * `*result_out` has one get: the keys of the lock, and of each only `mod_revision` and `lease`, both of
 * which a transaction must find as they are there. It does not ask etcd. They stay the same for as long as
 * the win lasts. `*result_out` is yours; end it with `primacy_result_free`. Any thread, does not block.
 *
 * `PRIMACY_E_NOT_PRIMARY`: `token` is not that of a win that still counts. `PRIMACY_E_NULL`,
 * `PRIMACY_E_HANDLE`.
 */
primacy_status primacy_election_guard(primacy_election election, int64_t token, primacy_result *result_out);

/**
 * The flight recorder: what happened, for a report of an unexpected loss. Whole, as long as that is not more than a
 * megabyte, about the first hour of a session with one election: then it is a transcript, which the engine's own tests
 * replay. Later the last steps that this election had a part in, to be read. Its first line says which.
 *
 * `*text_out` is yours to end with `primacy_string_free`. It has keys, addresses, lease ids, and the reasons that
 * the host gave for calls that failed; nothing else of what the host writes. Any thread, does not block.
 * `PRIMACY_E_NULL`, `PRIMACY_E_HANDLE`.
 */
primacy_status primacy_election_recording(primacy_election election,
                                          char **text_out);

/**
 * Makes an empty transaction. It can be committed any number of times, by several threads too.
 *
 * Keys are whole etcd keys. Keys and values are bytes with a size; they are copied. The functions that add
 * to it do not block, may be called on any thread, and answer `PRIMACY_E_NULL`, `PRIMACY_E_HANDLE`, or
 * `PRIMACY_E_ARGUMENT` for an empty key.
 */
primacy_status primacy_txn_new(primacy_txn *txn_out);

/**
 * Compares: the key must last have been written at `mod_revision`; 0: must not be there.
 */
primacy_status primacy_txn_compare_mod_revision(primacy_txn txn,
                                                const void *key,
                                                size_t key_size,
                                                int64_t mod_revision);

/**
 * Compares: the key must have been written `version` times since it was created; 0: must not be there.
 */
primacy_status primacy_txn_compare_version(primacy_txn txn,
                                           const void *key,
                                           size_t key_size,
                                           int64_t version);

/**
 * Compares: the key must be there with this value.
 */
primacy_status primacy_txn_compare_value(primacy_txn txn,
                                         const void *key,
                                         size_t key_size,
                                         const void *value,
                                         size_t value_size);

/**
 * Compares: the key must not be there.
 */
primacy_status primacy_txn_compare_absent(primacy_txn txn, const void *key, size_t key_size);

/**
 * Writes a key, on no lease, if all comparisons hold. etcd refuses a transaction that writes a key twice.
 */
primacy_status primacy_txn_put(primacy_txn txn,
                               const void *key,
                               size_t key_size,
                               const void *value,
                               size_t value_size);

/**
 * Deletes a key, if it is there, if all comparisons hold.
 */
primacy_status primacy_txn_delete(primacy_txn txn, const void *key, size_t key_size);

/**
 * Reads a key. It is read whether or not your comparisons hold, so that you see what you lost a race to. The
 * gets of a transaction are numbered from 0, in the order in which they were added.
 */
primacy_status primacy_txn_get(primacy_txn txn, const void *key, size_t key_size);

/**
 * Reads all keys that begin with `prefix`, in the order of their bytes. Counts as one get.
 */
primacy_status primacy_txn_get_prefix(primacy_txn txn, const void *prefix, size_t prefix_size);

/**
 * Ends a transaction. A commit of it that is under way goes on.
 *
 * Any thread, does not block. `PRIMACY_E_HANDLE`.
 */
primacy_status primacy_txn_free(primacy_txn txn);

/**
 * etcd's revision right after the transaction; for one that wrote, the revision of its writes.
 *
 * Any thread, does not block. `PRIMACY_E_NULL`, `PRIMACY_E_HANDLE`.
 */
primacy_status primacy_result_revision(primacy_result result, int64_t *revision_out);

/**
 * How many keys get number `get` found.
 *
 * Any thread, does not block. `PRIMACY_E_ARGUMENT`: no such get. `PRIMACY_E_NULL`, `PRIMACY_E_HANDLE`.
 */
primacy_status primacy_result_count(primacy_result result, size_t get, size_t *count_out);

/**
 * Key number `index` of those that get number `get` found.
 *
 * Its texts live as long as the result. Any thread, does not block. `PRIMACY_E_ARGUMENT`: no such get or
 * key. `PRIMACY_E_NULL`, `PRIMACY_E_HANDLE`, `PRIMACY_E_STRUCT_SIZE`.
 */
primacy_status primacy_result_key_value(primacy_result result,
                                        size_t get,
                                        size_t index,
                                        struct primacy_key_value *key_value_out);

/**
 * Ends a result, and the texts that it showed.
 *
 * Any thread, does not block. `PRIMACY_E_HANDLE`.
 */
primacy_status primacy_result_free(primacy_result result);

/**
 * Opens an observer of `role`: it needs no session and no lease, and always knows the latest primary.
 *
 * Blocks up to the setting `etcd.requestTimeout`, until the first answer of etcd. `config` and `callbacks`
 * are copied. `callbacks` may be NULL: then ask or wait. `user_data` must stay good until `on_stopped`,
 * which comes exactly once if this succeeds and never if it fails. Any thread, also inside a callback of an
 * election.
 *
 * The statuses are those of `primacy_session_open`, and `PRIMACY_E_ROLE`.
 */
primacy_status primacy_observer_open(primacy_config config,
                                     const char *role,
                                     const struct primacy_observer_callbacks *callbacks,
                                     void *user_data,
                                     primacy_observer *observer_out,
                                     struct primacy_error **error_out);

/**
 * Opens an observer as `primacy_observer_open` does, whose changes arrive in an event queue under `tag`, as
 * `PRIMACY_EVENT_OBSERVED`.
 *
 * The statuses are those of `primacy_observer_open`.
 */
primacy_status primacy_observer_open_queued(primacy_config config,
                                            const char *role,
                                            primacy_queue queue,
                                            uint64_t tag,
                                            primacy_observer *observer_out,
                                            struct primacy_error **error_out);

/**
 * Who is primary, as far as this observer has heard: an earlier answer is never taken back.
 *
 * All of `*primary_out` is 0 if nobody is. Any thread, does not block. `PRIMACY_E_NULL`,
 * `PRIMACY_E_STRUCT_SIZE`, `PRIMACY_E_HANDLE`.
 */
primacy_status primacy_observer_current(primacy_observer observer, struct primacy_primary *primary_out);

/**
 * Waits until the primary is another than the one whose token you have seen; 0: until there is one.
 *
 * With `seen_token` not 0 the answer may also be that there is none (all of `*primary_out` 0). Blocks up to
 * `timeout_ms`. Any thread, several at a time.
 *
 * `PRIMACY_E_TIMEOUT`: nothing changed. `PRIMACY_E_STOPPED`: freed meanwhile. `PRIMACY_E_DEADLOCK`: inside a
 * callback. `PRIMACY_E_NULL`, `PRIMACY_E_STRUCT_SIZE`, `PRIMACY_E_HANDLE`.
 */
primacy_status primacy_observer_wait(primacy_observer observer,
                                     int64_t seen_token,
                                     uint64_t timeout_ms,
                                     struct primacy_primary *primary_out);

/**
 * Waits until there is a primary that is ready, which may be the one that was there before: what a client does before
 * each call. When the call fails, wait a little with `primacy_observer_wait` for another one, and come back here: the
 * newest primary may only be busy, and is the one to ask again.
 *
 * Blocks up to `timeout_ms`. Any thread, several at a time.
 *
 * `PRIMACY_E_TIMEOUT`: none is ready. `PRIMACY_E_STOPPED`: freed meanwhile. `PRIMACY_E_DEADLOCK`: inside a callback.
 * `PRIMACY_E_NULL`, `PRIMACY_E_STRUCT_SIZE`, `PRIMACY_E_HANDLE`.
 */
primacy_status primacy_observer_wait_ready(primacy_observer observer,
                                           uint64_t timeout_ms,
                                           struct primacy_primary *primary_out);

/**
 * Ends an observer. The handle is invalid at once; waits for it end with `PRIMACY_E_STOPPED`.
 *
 * Blocks until `on_change`, if it is running, has returned, up to the setting `primacy.drain_timeout_ms`;
 * inside a callback it does not wait. Afterwards only `on_stopped` is called. `PRIMACY_E_TIMEOUT`:
 * `on_change` still hangs, so its `user_data` must stay good until `on_stopped`. Any thread.
 *
 * `PRIMACY_E_HANDLE`.
 */
primacy_status primacy_observer_free(primacy_observer observer);

/**
 * A new, empty queue. Any number of elections and observers may write to it, any number of threads take from
 * it.
 *
 * Any thread, does not block. `PRIMACY_E_SYSTEM`: no descriptor left. `PRIMACY_E_NULL`.
 */
primacy_status primacy_queue_new(primacy_queue *queue_out, struct primacy_error **error_out);

/**
 * A descriptor for poll, epoll, asyncio and the like: readable exactly while an event waits.
 *
 * Do not read, write or close it. It is good until `primacy_queue_free`. Any thread, does not block.
 * `PRIMACY_E_NULL`, `PRIMACY_E_HANDLE`; then it is -1.
 */
primacy_status primacy_queue_fd(primacy_queue queue, int32_t *fd_out);

/**
 * Takes the next event; the election's come in order.
 *
 * Blocks up to `timeout_ms`; 0: only asks. Any thread, several at a time. A call is over when it is
 * completed: what is asked for before (`resign`, `stop`) takes effect at once, unlike inside a callback.
 *
 * `PRIMACY_E_TIMEOUT`: there was none in time. `PRIMACY_E_STOPPED`: freed meanwhile. `PRIMACY_E_DEADLOCK`:
 * it would wait inside a notice, a line of the log or the like. `PRIMACY_E_NULL`, `PRIMACY_E_STRUCT_SIZE`,
 * `PRIMACY_E_HANDLE`.
 */
primacy_status primacy_queue_next(primacy_queue queue, uint64_t timeout_ms, struct primacy_event *event_out);

/**
 * Adds an event of your own, `PRIMACY_EVENT_WOKEN` with this tag, so that whoever waits looks at something
 * else.
 *
 * Any thread, also inside every callback; does not block. `PRIMACY_E_HANDLE`.
 */
primacy_status primacy_queue_wake(primacy_queue queue, uint64_t tag);

/**
 * Ends a queue. What waits in it is gone: calls there, and later ones of its elections, fail, so end those
 * before it. Calls that were taken from it must still be completed.
 *
 * Any thread, does not block. `PRIMACY_E_HANDLE`.
 */
primacy_status primacy_queue_free(primacy_queue queue);

/**
 * Where the session stands now.
 *
 * Any thread, does not block. `PRIMACY_E_NULL`, `PRIMACY_E_STRUCT_SIZE`, `PRIMACY_E_HANDLE`.
 */
primacy_status primacy_session_snapshot(primacy_session session, struct primacy_session_state *state_out);

/**
 * Where the election stands now.
 *
 * Any thread, does not block. `PRIMACY_E_STOPPED`: it is over. `PRIMACY_E_NULL`, `PRIMACY_E_STRUCT_SIZE`,
 * `PRIMACY_E_HANDLE`.
 */
primacy_status primacy_election_snapshot(primacy_election election, struct primacy_election_state *state_out);

/**
 * Calls `on_change` once, as soon as the election stands elsewhere than `seen` says, which is what
 * `primacy_election_snapshot` said; or at once, if it does already. Also when it is over, or its session is.
 *
 * `seen` is copied; NULL: when it is over. It needs no answer of etcd, holds no thread, and works before
 * `primacy_election_campaign` too. `user_data` is handed to `on_change`, and not used if this fails. `on_change` runs on
 * a thread of the library; it must return soon, and not call what blocks. Any thread, does not block.
 * `PRIMACY_E_NULL`, `PRIMACY_E_STRUCT_SIZE`, `PRIMACY_E_HANDLE`.
 */
primacy_status primacy_election_watch(primacy_election election,
                                      const struct primacy_election_state *seen,
                                      void (*on_change)(void *user_data),
                                      void *user_data);

/**
 * The name of an obstacle, by `PRIMACY_OBSTACLE_...`, such as "outdated".
 *
 * Never NULL, "unknown" for another number; lives as long as the library. Any thread, does not block.
 */
const char *primacy_obstacle_string(int32_t obstacle);

/**
 * The name of a session's state, by `PRIMACY_SESSION_...`, such as "open"; else as `primacy_obstacle_string`.
 */
const char *primacy_session_state_string(int32_t state);

/**
 * The name of an election's state, by `PRIMACY_ELECTION_...`, such as "standby"; else as `primacy_obstacle_string`.
 */
const char *primacy_election_state_string(int32_t state);

/**
 * Lends a store to the sessions and observers that are opened with this configuration from now on: they ask it, and
 * open no connection of their own.
 *
 * What is set under `etcd.endpoints`, `etcd.ssl` and `etcd.auth` has no meaning for them; `etcd.rootPath`,
 * `etcd.metaSubPath` and `etcd.requestTimeout` do. All guarantees hold as before, as far as the store does what its
 * functions say. What is then its affair: which member of etcd serves, how soon one that is silent is given up, and
 * the version of the servers, of which the library warns only on its own connections.
 *
 * `user_data` is handed to the functions; `on_stopped` tells when it is not needed any more, which is after this
 * configuration and all that was opened with it, elections too, have been freed, or the store was set anew. It may
 * come a moment after the free has returned, on a thread of the library.
 *
 * `store` is copied; NULL: none, and sessions connect by themselves. Any thread, does not block.
 * `PRIMACY_E_STRUCT_SIZE`, `PRIMACY_E_NULL` (a function that is required), `PRIMACY_E_HANDLE`. After an error
 * `on_stopped` is not called.
 */
primacy_status primacy_config_set_store(primacy_config config,
                                        const struct primacy_store *store,
                                        void *user_data,
                                        struct primacy_error **error_out);

/**
 * Says what came of a request to a lent store. Once for each; all that it points to is copied.
 *
 * Any thread, also inside the function of the store that began it, does not block.
 *
 * `PRIMACY_E_HANDLE`: it was completed before, given up because its time was over, or never made; nothing happens.
 * `PRIMACY_E_ARGUMENT`: this is no answer to what was asked, such as one without a raft term, or with another number
 * of gets; the message says which. `PRIMACY_E_NULL`, `PRIMACY_E_STRUCT_SIZE`, `PRIMACY_E_UTF8`. After these the request
 * still waits, and without an answer it ends as one of which nothing is known.
 */
primacy_status primacy_request_complete(primacy_request request,
                                        const struct primacy_answer *answer,
                                        struct primacy_error **error_out);

/**
 * Says that all ranges of a watch of a lent store are watched: whatever happens to their keys from now on is told.
 *
 * Any thread, does not block. `PRIMACY_E_HANDLE`: it has ended, is not wanted any more, or was never made; nothing
 * happens. So with the two functions below.
 */
primacy_status primacy_watch_confirmed(primacy_watch watch);

/**
 * Tells what a watch of a lent store saw: for each write of a key the key as it is since, for each delete the key with
 * the revision that deleted it as `mod_revision`, and `version` 0. Those of one key come in the order of their
 * revisions, none left out; keys that are not watched do no harm.
 *
 * `events` are copied, `count` of them, each with its `struct_size`. A watch whose client goes on by itself after its
 * connection broke is good as long as it misses nothing; otherwise it has ended. Any thread, does not block.
 * `PRIMACY_E_NULL`, `PRIMACY_E_STRUCT_SIZE`, `PRIMACY_E_ARGUMENT`: none of them was told. `PRIMACY_E_HANDLE`.
 */
primacy_status primacy_watch_events(primacy_watch watch,
                                    const struct primacy_key_value *events,
                                    size_t count,
                                    struct primacy_error **error_out);

/**
 * Says that a watch of a lent store watches no more, or never did; another one is opened. `why` is for people, and may
 * be NULL.
 *
 * Any thread, does not block. `PRIMACY_OK`: `unwatch` is not called for it. `PRIMACY_E_HANDLE`: it had ended before,
 * or `unwatch` has been called, or soon will be. `PRIMACY_E_UTF8`.
 */
primacy_status primacy_watch_ended(primacy_watch watch,
                                   const char *why);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* PRIMACY_H */
