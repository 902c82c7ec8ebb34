//go:build cgo

package probes_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"primacy.example/go"
	"primacy.example/go/internal/etcdtest"
	"primacy.example/go/internal/handle"
	"primacy.example/go/probes"
)

var etcd *etcdtest.Server

func TestMain(m *testing.M) {
	os.Exit(etcdtest.Main(m, handle.Live, func(server *etcdtest.Server) { etcd = server }))
}

// Where a process stands is told from outside.
type process struct {
	health primacy.Health
	err    error
}

func (p process) Health() (primacy.Health, error) { return p.health, p.err }

func get(of http.Handler, method, target string) (int, string) {
	recorder := httptest.NewRecorder()
	of.ServeHTTP(recorder, httptest.NewRequest(method, target, nil))
	body, _ := io.ReadAll(recorder.Result().Body)
	return recorder.Code, string(body)
}

func TestEachPathAnswersForItself(t *testing.T) {
	yes, no := primacy.Verdict{OK: true}, func(why string) primacy.Verdict { return primacy.Verdict{Why: why} }
	is := process{health: primacy.Health{
		Probes: primacy.Probes{Alive: yes, Ready: no("datacoord: cold"), Primary: no("datacoord: standby")},
		Roles: map[string]primacy.Probes{
			"rootcoord": {Alive: yes, Ready: yes, Primary: yes},
			"datacoord": {Alive: yes, Ready: no("cold"), Primary: no("standby")},
		},
	}}
	for _, c := range []struct {
		method, target string
		status         int
		body           string
	}{
		{"GET", "/livez", 200, "ok\n"},
		{"GET", "/readyz", 503, "datacoord: cold\n"},
		{"GET", "/primary", 503, "datacoord: standby\n"},
		{"GET", "/readyz?role=rootcoord", 200, "ok\n"},
		{"GET", "/primary?role=datacoord", 503, "standby\n"},
		{"GET", "/primary?role=nobody", 404, "this process has not registered that role\n"},
		{"HEAD", "/livez", 200, ""},
	} {
		status, body := get(probes.Handler(is), c.method, c.target)
		if status != c.status || c.method == "GET" && body != c.body {
			t.Errorf("%s %s: %d %q", c.method, c.target, status, body)
		}
	}
	if status, _ := get(probes.Handler(is), "POST", "/livez"); status != 405 {
		t.Error("POST:", status)
	}
	if status, _ := get(probes.Handler(is), "GET", "/"); status != 404 {
		t.Error("/:", status)
	}
	if status, body := get(probes.Handler(process{err: primacy.ErrClosed}), "GET", "/livez"); status != 503 {
		t.Error("closed:", status, body)
	}
	if status, body := get(probes.Handler(process{err: primacy.ErrInternal}), "GET", "/livez"); status != 500 {
		t.Error("defect:", status, body)
	}
}

// One primary on a real etcd, from before it campaigns to after its end.
func TestAProcessIsAskedAllItsLife(t *testing.T) {
	session, err := primacy.Open(t.Context(), primacy.Config{
		Endpoints: []string{etcd.Endpoint},
		Root:      "probes/life",
		Candidate: primacy.Candidate{Address: "127.0.0.1:1", Version: "3.0.0"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = session.Close(context.Background()) })
	handler := probes.Handler(session)
	want := func(status int, body, target string) {
		t.Helper()
		if got, said := get(handler, "GET", target); got != status || body != "" && said != body+"\n" {
			t.Errorf("%s: %d %q, not %d %q", target, got, said, status, body)
		}
	}
	want(200, "ok", "/livez")
	want(503, "no role is registered", "/readyz")
	election, err := session.Register("rootcoord")
	if err != nil {
		t.Fatal(err)
	}
	begun, ready := make(chan struct{}), make(chan struct{})
	err = election.Campaign(primacy.Handlers{
		OnPrimary: func(context.Context, primacy.Win) error { close(begun); <-ready; return nil },
		OnLost:    func(context.Context, primacy.Lost) error { return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	<-begun
	want(200, "ok", "/livez")
	want(503, "rootcoord: on_primary has not succeeded yet", "/readyz")
	close(ready)
	for end := time.Now().Add(60 * time.Second); ; {
		if status, _ := get(handler, "GET", "/primary"); status == 200 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("not primary within 60 s")
		}
	}
	want(200, "ok", "/readyz")
	if err := session.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	want(503, "", "/livez")
}
