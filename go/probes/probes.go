// Package probes answers the probes of a process by HTTP: /livez, /readyz and /primary.
//
//	http.ListenAndServe(":9091", probes.Handler(session))
//
// Each is answered by 200, or by 503 with why not as its text; with ?role=ROLE for that role alone. docs/deploy.md has the
// table of what is answered when. They ask nothing of etcd and block nobody.
package probes

import (
	"errors"
	"io"
	"net/http"

	"primacy.example/go"
)

// A Session is a [primacy.Session], or a stand-in for one in a host's tests.
type Session interface {
	Health() (primacy.Health, error)
}

// Handler answers for session; the paths stand at its root, so mount it there or behind [http.StripPrefix]. Anything else
// is 404.
func Handler(session Session) http.Handler {
	mux := http.NewServeMux()
	for path, of := range map[string]func(primacy.Probes) primacy.Verdict{
		"GET /livez":   func(p primacy.Probes) primacy.Verdict { return p.Alive },
		"GET /readyz":  func(p primacy.Probes) primacy.Verdict { return p.Ready },
		"GET /primary": func(p primacy.Probes) primacy.Verdict { return p.Primary },
	} {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			status, text := answer(session, r.URL.Query().Get("role"), of)
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			w.Header().Set("Cache-Control", "no-store")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, text+"\n")
		})
	}
	return mux
}

func answer(session Session, role string, of func(primacy.Probes) primacy.Verdict) (int, string) {
	health, err := session.Health()
	switch {
	case errors.Is(err, primacy.ErrClosed):
		return http.StatusServiceUnavailable, "the session is closed"
	case err != nil:
		return http.StatusInternalServerError, err.Error()
	}
	probes := health.Probes
	if role != "" {
		var ok bool
		if probes, ok = health.Roles[role]; !ok {
			return http.StatusNotFound, "this process has not registered that role"
		}
	}
	if verdict := of(probes); !verdict.OK {
		return http.StatusServiceUnavailable, verdict.Why
	}
	return http.StatusOK, "ok"
}
