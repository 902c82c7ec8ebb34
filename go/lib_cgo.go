//go:build cgo && (primacy_dynamic || (linux && amd64))

package primacy

// All that is said in C is here and in lib_callbacks.go. What the C library gets to keep is a cgo.Handle, as a number.
// No Go pointer stays with it.

/*
#cgo !primacy_dynamic CFLAGS: -I${SRCDIR}/lib/linux_amd64
#cgo !primacy_dynamic LDFLAGS: ${SRCDIR}/lib/linux_amd64/libprimacy.a -lgcc_s -lutil -lrt -lpthread -lm -ldl
#cgo primacy_dynamic pkg-config: primacy
#cgo nocallback election_token
#cgo nocallback primacy_election_remaining_ms

#include <stdlib.h>
#include "primacy.h"

extern void primacyGoCall(uintptr_t go, uint64_t call, int32_t kind, int32_t reason, int64_t token, int64_t lease,
                          int64_t holder_id, char *holder_address);
extern void primacyGoCancelled(uintptr_t go, uint64_t call);
extern void primacyGoNotice(uintptr_t go, int32_t kind, int64_t token, int64_t holder_id, char *holder_address);
extern void primacyGoElectionStopped(uintptr_t go);
extern void primacyGoChange(uintptr_t go, int64_t server_id, int64_t token, char *address, int32_t ready);
extern void primacyGoObserverStopped(uintptr_t go);
extern void primacyGoResult(uintptr_t go, int32_t status, uint64_t result, void *error);
extern void primacyGoWatched(uintptr_t go);
extern void primacyGoGrant(uintptr_t go, uint64_t request, int64_t lease, int64_t ttl, uint64_t timeout_ms);
extern void primacyGoKeepAlive(uintptr_t go, uint64_t request, int64_t lease, uint64_t timeout_ms);
extern void primacyGoRevoke(uintptr_t go, uint64_t request, int64_t lease, uint64_t timeout_ms);
extern void primacyGoTxn(uintptr_t go, uint64_t request, void *txn, uint64_t timeout_ms);
extern void primacyGoWatch(uintptr_t go, uint64_t watch, void *ranges, size_t count);
extern void primacyGoUnwatch(uintptr_t go, uint64_t watch);
extern void primacyGoStoreStopped(uintptr_t go);
extern void primacyGoLine(uintptr_t go, int32_t level, char *text);
extern void primacyGoLogStopped(uintptr_t go);

// Every call is completed later, from a goroutine.
static int32_t on_call(void *go, const primacy_call *call) {
    primacyGoCall((uintptr_t)go, call->call, call->kind, call->reason, call->token, call->lease, call->holder_id,
                  (char *)call->holder_address);
    return PRIMACY_PENDING;
}

static void on_cancelled(void *go, uint64_t call) { primacyGoCancelled((uintptr_t)go, call); }

static void on_notice(void *go, const primacy_notice *notice) {
    primacyGoNotice((uintptr_t)go, notice->kind, notice->token, notice->holder_id, (char *)notice->holder_address);
}

static void on_election_stopped(void *go) { primacyGoElectionStopped((uintptr_t)go); }

static primacy_status session_register(primacy_session session, const char *role, uintptr_t go,
                                       primacy_election *election_out, primacy_error **error_out) {
    const primacy_callbacks callbacks = {
        .struct_size = sizeof callbacks,
        .on_standby = on_call,
        .on_warmup = on_call,
        .on_primary = on_call,
        .on_lost = on_call,
        .on_cancelled = on_cancelled,
        .on_notice = on_notice,
        .on_stopped = on_election_stopped,
    };
    return primacy_session_register(session, role, &callbacks, (void *)go, election_out, error_out);
}

static void on_change(void *go, const primacy_primary *primary) {
    primacyGoChange((uintptr_t)go, primary->server_id, primary->token, (char *)primary->address, primary->ready);
}

static void on_observer_stopped(void *go) { primacyGoObserverStopped((uintptr_t)go); }

static primacy_status observer_open(primacy_config config, const char *role, uintptr_t go,
                                    primacy_observer *observer_out, primacy_error **error_out) {
    const primacy_observer_callbacks callbacks = {
        .struct_size = sizeof callbacks,
        .on_change = on_change,
        .on_stopped = on_observer_stopped,
    };
    return primacy_observer_open(config, role, &callbacks, (void *)go, observer_out, error_out);
}

static void on_result(void *go, primacy_status status, primacy_result result, primacy_error *error) {
    primacyGoResult((uintptr_t)go, status, result, error);
}

static primacy_status start_open(primacy_config config, const primacy_candidate *candidate, uintptr_t go,
                                 primacy_session *session_out, primacy_error **error_out) {
    return primacy_session_start_open(config, candidate, on_result, (void *)go, session_out, error_out);
}

static primacy_status start_read(primacy_session session, primacy_txn txn, uint64_t timeout_ms, uintptr_t go,
                                 primacy_error **error_out) {
    return primacy_session_start_read(session, txn, timeout_ms, on_result, (void *)go, error_out);
}

static primacy_status start_commit(primacy_election election, int64_t token, primacy_txn txn, uint64_t timeout_ms,
                                   uintptr_t go, primacy_error **error_out) {
    return primacy_election_start_commit(election, token, txn, timeout_ms, on_result, (void *)go, error_out);
}

static void on_watched(void *go) { primacyGoWatched((uintptr_t)go); }

static primacy_status election_watch(primacy_election election, const primacy_election_state *seen, uintptr_t go) {
    return primacy_election_watch(election, seen, on_watched, (void *)go);
}

static void on_line(void *go, int32_t level, const char *text) { primacyGoLine((uintptr_t)go, level, (char *)text); }

static void on_log_stopped(void *go) { primacyGoLogStopped((uintptr_t)go); }

static primacy_status config_set_log(primacy_config config, int32_t level, uintptr_t go, primacy_error **error_out) {
    const primacy_log log = {
        .struct_size = sizeof log,
        .level = level,
        .on_line = on_line,
        .on_stopped = on_log_stopped,
    };
    return primacy_config_set_log(config, &log, (void *)go, error_out);
}

static void on_grant(void *go, primacy_request request, int64_t lease, int64_t ttl_s, uint64_t timeout_ms) {
    primacyGoGrant((uintptr_t)go, request, lease, ttl_s, timeout_ms);
}

static void on_keep_alive(void *go, primacy_request request, int64_t lease, uint64_t timeout_ms) {
    primacyGoKeepAlive((uintptr_t)go, request, lease, timeout_ms);
}

static void on_revoke(void *go, primacy_request request, int64_t lease, uint64_t timeout_ms) {
    primacyGoRevoke((uintptr_t)go, request, lease, timeout_ms);
}

static void on_txn(void *go, primacy_request request, const primacy_store_txn *txn, uint64_t timeout_ms) {
    primacyGoTxn((uintptr_t)go, request, (void *)txn, timeout_ms);
}

static void on_watch(void *go, primacy_watch watch, const primacy_range *ranges, size_t count) {
    primacyGoWatch((uintptr_t)go, watch, (void *)ranges, count);
}

static void on_unwatch(void *go, primacy_watch watch) { primacyGoUnwatch((uintptr_t)go, watch); }

static void on_store_stopped(void *go) { primacyGoStoreStopped((uintptr_t)go); }

static primacy_status config_set_store(primacy_config config, uintptr_t go, primacy_error **error_out) {
    const primacy_store store = {
        .struct_size = sizeof store,
        .grant = on_grant,
        .keep_alive = on_keep_alive,
        .revoke = on_revoke,
        .txn = on_txn,
        .watch = on_watch,
        .unwatch = on_unwatch,
        .on_stopped = on_store_stopped,
    };
    return primacy_config_set_store(config, &store, (void *)go, error_out);
}

// 0: not primary.
static int64_t election_token(primacy_election election) {
    int64_t token;
    primacy_election_is_primary(election, &token, NULL);
    return token;
}
*/
import "C"

import (
	"runtime/cgo"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"primacy.example/go/internal/handle"
)

func libVersion() string { return C.GoString(C.primacy_version()) }

func codeText(code Code) string { return C.GoString(C.primacy_status_string(C.primacy_status(code))) }

func codeMayPass(code Code) bool { return C.primacy_status_may_pass(C.primacy_status(code)) != 0 }

func reasonText(reason Reason) string { return C.GoString(C.primacy_lost_string(C.int32_t(reason))) }

func obstacleText(obstacle Obstacle) string {
	return C.GoString(C.primacy_obstacle_string(C.int32_t(obstacle)))
}

func callbackText(callback Callback) string {
	return C.GoString(C.primacy_call_string(C.int32_t(callback)))
}

func sessionStateText(state SessionState) string {
	return C.GoString(C.primacy_session_state_string(C.int32_t(state)))
}

func electionStateText(state ElectionState) string {
	return C.GoString(C.primacy_election_state_string(C.int32_t(state)))
}

// An error with the library's message, which it ends.
func fault(status C.primacy_status, detail *C.primacy_error) error {
	if status == C.PRIMACY_OK {
		return nil
	}
	message := C.GoString(C.primacy_error_message(detail))
	C.primacy_error_free(detail)
	return failed("", Code(status), message)
}

func plain(status C.primacy_status) error { return fault(status, nil) }

// Texts in C's memory, for one call.
type texts []unsafe.Pointer

func (t *texts) text(text string) *C.char {
	// For C a text ends at its first NUL. Rather than use another text than the host's, have it refused, as not UTF-8.
	copied := C.CString(strings.ReplaceAll(text, "\x00", "\xff"))
	*t = append(*t, unsafe.Pointer(copied))
	return copied
}

// NULL for an empty one.
func (t *texts) optional(text string) *C.char {
	if text == "" {
		return nil
	}
	return t.text(text)
}

func (t *texts) free() {
	for _, copied := range *t {
		C.free(copied)
	}
}

// The log, nil without a logger, is closed by the library when nothing made of the configuration is left.
func newConfig(config *Config) (C.primacy_config, *queue[line], error) {
	settings, err := config.settings()
	if err != nil {
		return 0, nil, err
	}
	var made C.primacy_config
	if status := C.primacy_config_new(&made); status != C.PRIMACY_OK {
		return 0, nil, plain(status)
	}
	for _, s := range settings {
		if err := setConfig(made, s); err != nil {
			C.primacy_config_free(made)
			return 0, nil, err
		}
	}
	if config.Store != nil {
		if err := lend(made, config.Store); err != nil {
			C.primacy_config_free(made)
			return 0, nil, err
		}
	}
	if config.Logger == nil {
		return made, nil, nil
	}
	log := newLog(config.Logger)
	known := handle.New(log)
	var detail *C.primacy_error
	status := C.config_set_log(made, C.int32_t(libLevel(config.Logger)), C.uintptr_t(known), &detail)
	if status != C.PRIMACY_OK {
		logStopped(known)
		C.primacy_config_free(made)
		return 0, nil, fault(status, detail)
	}
	return made, log, nil
}

func setConfig(config C.primacy_config, s setting) error {
	var t texts
	defer t.free()
	var detail *C.primacy_error
	return fault(C.primacy_config_set(config, t.text(s.name), t.text(s.value), &detail), detail)
}

func setStore(config C.primacy_config, known cgo.Handle) error {
	var detail *C.primacy_error
	return fault(C.config_set_store(config, C.uintptr_t(known), &detail), detail)
}

// opened is told how it ended, once, if there is no error.
func sessionStartOpen(config *Config, opened func(error)) (uint64, *queue[line], error) {
	made, log, err := newConfig(config)
	if err != nil {
		return 0, nil, err
	}
	defer C.primacy_config_free(made)
	var t texts
	defer t.free()
	from := &config.Candidate
	candidate := C.primacy_candidate{
		struct_size:                 C.sizeof_primacy_candidate,
		address:                     t.text(from.Address),
		version:                     t.text(from.Version),
		host_name:                   t.optional(from.HostName),
		index_engine_version:        t.optional(from.IndexEngineVersion),
		scalar_index_engine_version: t.optional(from.ScalarIndexEngineVersion),
		index_non_encoding:          C.int32_t(from.IndexNonEncoding),
		exclusive:                   C.int32_t(from.Exclusive),
		trigger_kill:                C.int32_t(from.TriggerKill),
		any_address:                 C.int32_t(from.AnyAddress),
		server_id:                   C.int64_t(from.ServerID),
	}
	if n := len(from.ServerLabels); n > 0 {
		list := (**C.char)(C.calloc(C.size_t(n), C.size_t(unsafe.Sizeof((*C.char)(nil)))))
		t = append(t, unsafe.Pointer(list))
		labels := unsafe.Slice(list, n)
		i := 0
		for name, value := range from.ServerLabels {
			labels[i] = t.text(name + "=" + value)
			i++
		}
		candidate.server_labels, candidate.server_labels_count = list, C.size_t(n)
	}
	var session C.primacy_session
	var detail *C.primacy_error
	known := handle.New(waiting{told: func(_ *Result, err error) { opened(err) }})
	status := C.start_open(made, &candidate, C.uintptr_t(known), &session, &detail)
	if status != C.PRIMACY_OK {
		handle.Delete(known)
	}
	return uint64(session), log, fault(status, detail)
}

func sessionServerID(session uint64) int64 {
	var id C.int64_t
	C.primacy_session_server_id(C.primacy_session(session), &id)
	return int64(id)
}

func sessionRegister(session uint64, role string, e *Election) (uint64, error) {
	var t texts
	defer t.free()
	known := handle.New(e)
	var election C.primacy_election
	var detail *C.primacy_error
	status := C.session_register(C.primacy_session(session), t.text(role), C.uintptr_t(known), &election, &detail)
	if status != C.PRIMACY_OK {
		handle.Delete(known)
	}
	return uint64(election), fault(status, detail)
}

func sessionStartRead(session uint64, txn *Txn, timeout uint64, told func(*Result, error)) error {
	return start(txn, told, func(made C.primacy_txn, known C.uintptr_t, detail **C.primacy_error) C.primacy_status {
		return C.start_read(C.primacy_session(session), made, C.uint64_t(timeout), known, detail)
	})
}

// What is told once of a commit, a read or an opening: also of one that nobody waits for any more.
type waiting struct {
	gets int
	told func(*Result, error)
}

func start(txn *Txn, told func(*Result, error),
	begin func(made C.primacy_txn, known C.uintptr_t, detail **C.primacy_error) C.primacy_status) error {
	made, err := newTxn(txn)
	if err != nil {
		return err
	}
	defer C.primacy_txn_free(made)
	known := handle.New(waiting{txn.gets(), told})
	var detail *C.primacy_error
	status := begin(made, C.uintptr_t(known), &detail)
	if status != C.PRIMACY_OK {
		handle.Delete(known)
	}
	return fault(status, detail)
}

func (w waiting) end(status int32, result uint64, detail unsafe.Pointer) {
	w.told(takeResult(C.primacy_result(result), w.gets), fault(C.primacy_status(status), (*C.primacy_error)(detail)))
}

func sessionSnapshot(session uint64) ([]byte, error) {
	var text *C.char
	var detail *C.primacy_error
	status := C.primacy_session_snapshot_json(C.primacy_session(session), &text, &detail)
	defer C.primacy_string_free(text)
	return []byte(C.GoString(text)), fault(status, detail)
}

func sessionHealth(session uint64) ([]byte, error) {
	var text *C.char
	var detail *C.primacy_error
	status := C.primacy_session_health_json(C.primacy_session(session), &text, &detail)
	defer C.primacy_string_free(text)
	return []byte(C.GoString(text)), fault(status, detail)
}

func sessionMarkStopping(session uint64) error {
	return plain(C.primacy_session_mark_stopping(C.primacy_session(session)))
}

func sessionStop(session uint64, timeout uint64) error {
	return plain(C.primacy_session_stop(C.primacy_session(session), C.uint64_t(timeout)))
}

func sessionClose(session uint64, timeout uint64) error {
	var detail *C.primacy_error
	return fault(C.primacy_session_close(C.primacy_session(session), C.uint64_t(timeout), 0, &detail), detail)
}

func sessionFree(session uint64) error {
	return plain(C.primacy_session_free(C.primacy_session(session)))
}

func electionCampaign(election uint64) error {
	return plain(C.primacy_election_campaign(C.primacy_election(election)))
}

func electionTransfer(election uint64, to int64) error {
	return plain(C.primacy_election_transfer(C.primacy_election(election), C.int64_t(to)))
}

func electionHealthy(election uint64) error {
	return plain(C.primacy_election_healthy(C.primacy_election(election)))
}

func electionResign(election uint64) error {
	return plain(C.primacy_election_resign(C.primacy_election(election)))
}

func electionStop(election uint64, timeout uint64) error {
	return plain(C.primacy_election_stop(C.primacy_election(election), C.uint64_t(timeout)))
}

func electionFree(election uint64) error {
	return plain(C.primacy_election_free(C.primacy_election(election)))
}

func electionComplete(election uint64, call uint64, outcome int32, message string) error {
	var t texts
	defer t.free()
	return plain(C.primacy_election_complete(C.primacy_election(election), C.uint64_t(call), C.int32_t(outcome),
		t.optional(message)))
}

func electionIsCancelled(election uint64, call uint64) bool {
	return C.primacy_election_is_cancelled(C.primacy_election(election), C.uint64_t(call)) != 0
}

func electionToken(election uint64) Token {
	return Token(C.election_token(C.primacy_election(election)))
}

func electionRemaining(election uint64) time.Duration {
	return time.Duration(C.primacy_election_remaining_ms(C.primacy_election(election), nil)) * time.Millisecond
}

func electionStartCommit(election uint64, token Token, txn *Txn, timeout uint64, told func(*Result, error)) error {
	return start(txn, told, func(made C.primacy_txn, known C.uintptr_t, detail **C.primacy_error) C.primacy_status {
		return C.start_commit(C.primacy_election(election), C.int64_t(token), made, C.uint64_t(timeout), known, detail)
	})
}

// Where the election stands. Unless that is reached, told is called once, when it stands elsewhere.
func electionWatch(election uint64, reached func(ElectionStatus) bool, told func()) (ElectionStatus, bool, error) {
	state := C.primacy_election_state{struct_size: C.sizeof_primacy_election_state}
	if status := C.primacy_election_snapshot(C.primacy_election(election), &state); status != C.PRIMACY_OK {
		return ElectionStatus{}, false, plain(status)
	}
	status := ElectionStatus{
		State:          ElectionState(state.state),
		Token:          Token(state.token),
		Warm:           state.warm != 0,
		RecordRevision: int64(state.record_revision),
		Stopping:       state.stopping != 0,
		Obstacle:       Obstacle(state.obstacle),
		Trouble:        C.GoString(&state.trouble[0]),
	}
	for kind := CallbackStandby; kind <= CallbackLost; kind++ {
		if state.running&(1<<kind) != 0 {
			status.Running = append(status.Running, kind)
		}
	}
	if state.holder_id != 0 {
		status.Holder = &HolderStatus{
			ServerID: int64(state.holder_id),
			Address:  C.GoString(&state.holder_address[0]),
			Lease:    strconv.FormatInt(int64(state.holder_lease), 10),
			Token:    Token(state.holder_token),
		}
	}
	if reached(status) {
		return status, true, nil
	}
	known := handle.New(told)
	watched := C.election_watch(C.primacy_election(election), &state, C.uintptr_t(known))
	if watched != C.PRIMACY_OK {
		handle.Delete(known)
	}
	return status, false, plain(watched)
}

func electionGuard(election uint64, token Token) (*Result, error) {
	var result C.primacy_result
	status := C.primacy_election_guard(C.primacy_election(election), C.int64_t(token), &result)
	return takeResult(result, 1), plain(status)
}

// NULL would be refused, also for no bytes.
var noBytes = [1]byte{}

func bytesOf(value []byte) (unsafe.Pointer, C.size_t) {
	if len(value) == 0 {
		return unsafe.Pointer(&noBytes[0]), 0
	}
	return unsafe.Pointer(unsafe.SliceData(value)), C.size_t(len(value))
}

func newTxn(txn *Txn) (C.primacy_txn, error) {
	var made C.primacy_txn
	if status := C.primacy_txn_new(&made); status != C.PRIMACY_OK {
		return 0, plain(status)
	}
	for _, s := range txn.steps {
		if status := addStep(made, s); status != C.PRIMACY_OK {
			C.primacy_txn_free(made)
			return 0, plain(status)
		}
	}
	return made, nil
}

func addStep(txn C.primacy_txn, s step) C.primacy_status {
	key, keySize := bytesOf([]byte(s.key))
	value, valueSize := bytesOf(s.value)
	switch s.kind {
	case ifModRevision:
		return C.primacy_txn_compare_mod_revision(txn, key, keySize, C.int64_t(s.number))
	case ifVersion:
		return C.primacy_txn_compare_version(txn, key, keySize, C.int64_t(s.number))
	case ifValue:
		return C.primacy_txn_compare_value(txn, key, keySize, value, valueSize)
	case ifAbsent:
		return C.primacy_txn_compare_absent(txn, key, keySize)
	case doPut:
		return C.primacy_txn_put(txn, key, keySize, value, valueSize)
	case doDelete:
		return C.primacy_txn_delete(txn, key, keySize)
	case doGet:
		return C.primacy_txn_get(txn, key, keySize)
	case doGetPrefix:
		return C.primacy_txn_get_prefix(txn, key, keySize)
	default:
		return C.PRIMACY_E_ARGUMENT
	}
}

// Copies a result, and ends it. Nil for none.
func takeResult(result C.primacy_result, gets int) *Result {
	if result == 0 {
		return nil
	}
	defer C.primacy_result_free(result)
	var revision C.int64_t
	C.primacy_result_revision(result, &revision)
	taken := &Result{Revision: int64(revision), Gets: make([][]KeyValue, gets)}
	for get := range taken.Gets {
		var count C.size_t
		C.primacy_result_count(result, C.size_t(get), &count)
		taken.Gets[get] = make([]KeyValue, 0, int(count))
		for i := C.size_t(0); i < count; i++ {
			kv := C.primacy_key_value{struct_size: C.sizeof_primacy_key_value}
			if C.primacy_result_key_value(result, C.size_t(get), i, &kv) != C.PRIMACY_OK {
				break
			}
			taken.Gets[get] = append(taken.Gets[get], KeyValue{
				Key:            C.GoStringN(kv.key, C.int(kv.key_size)),
				Value:          C.GoBytes(unsafe.Pointer(kv.value), C.int(kv.value_size)),
				CreateRevision: int64(kv.create_revision),
				ModRevision:    int64(kv.mod_revision),
				Version:        int64(kv.version),
				Lease:          int64(kv.lease),
			})
		}
	}
	return taken
}

func observerOpen(config *Config, role string, o *Observer) (uint64, Primary, error) {
	made, _, err := newConfig(config)
	if err != nil {
		return 0, Primary{}, err
	}
	defer C.primacy_config_free(made)
	var t texts
	defer t.free()
	known := handle.New(o)
	var observer C.primacy_observer
	var detail *C.primacy_error
	status := C.observer_open(made, t.text(role), C.uintptr_t(known), &observer, &detail)
	if status != C.PRIMACY_OK {
		handle.Delete(known)
		return 0, Primary{}, fault(status, detail)
	}
	current := C.primacy_primary{struct_size: C.sizeof_primacy_primary}
	C.primacy_observer_current(observer, &current)
	return uint64(observer), Primary{
		ServerID: int64(current.server_id),
		Address:  C.GoString(&current.address[0]),
		Token:    Token(current.token),
		Ready:    current.ready != 0,
	}, nil
}

func observerFree(observer uint64) error {
	return plain(C.primacy_observer_free(C.primacy_observer(observer)))
}
