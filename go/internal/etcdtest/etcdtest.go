// Package etcdtest gives tests a real etcd, and looks into it without any client library.
package etcdtest

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"time"
)

// A Server is an etcd of one member.
type Server struct {
	// Endpoint is host:port.
	Endpoint string

	process *exec.Cmd
	folder  string
	http    http.Client
}

// Start starts one: the program that $PRIMACY_ETCD names, or what `make etcd` left.
func Start() (*Server, error) {
	program := os.Getenv("PRIMACY_ETCD")
	if program == "" {
		_, here, _, _ := runtime.Caller(0)
		program = filepath.Join(filepath.Dir(here), "../../../target/tools/etcd")
	}
	if _, err := os.Stat(program); err != nil {
		return nil, fmt.Errorf("no etcd: run `make etcd`, or set PRIMACY_ETCD: %w", err)
	}
	var err error
	for range 3 { // a port that was free a moment ago may be taken
		var s *Server
		if s, err = start(program); err == nil {
			return s, nil
		}
	}
	return nil, err
}

func start(program string) (*Server, error) {
	folder, err := os.MkdirTemp("", "primacy-etcd-")
	if err != nil {
		return nil, err
	}
	client, peer, err := freeAddresses()
	if err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(folder, "log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	s := &Server{Endpoint: client, folder: folder}
	s.http.Timeout = 5 * time.Second
	s.http.Transport = &http.Transport{DisableKeepAlives: true} // leaves no goroutine behind
	s.process = exec.Command(program, "--data-dir", filepath.Join(folder, "data"), "--log-level", "warn",
		"--listen-client-urls", "http://"+client, "--advertise-client-urls", "http://"+client,
		"--listen-peer-urls", "http://"+peer, "--initial-advertise-peer-urls", "http://"+peer,
		"--initial-cluster", "default=http://"+peer)
	s.process.Stdout, s.process.Stderr = log, log
	if err := StartTied(s.process); err != nil {
		return nil, err
	}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if _, err = s.Get("ready", false); err == nil {
			return s, nil
		}
		if time.Now().After(end) {
			text, _ := os.ReadFile(log.Name())
			s.Stop()
			return nil, fmt.Errorf("etcd does not answer: %w\n%s", err, text)
		}
	}
}

func freeAddresses() (client, peer string, err error) {
	var found [2]string
	for i := range found {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", "", err
		}
		defer listener.Close()
		found[i] = listener.Addr().String()
	}
	return found[0], found[1], nil
}

// Stop kills it and removes its data.
func (s *Server) Stop() {
	_ = s.process.Process.Kill()
	_ = s.process.Wait()
	_ = os.RemoveAll(s.folder)
}

// Process is that of the server, to pause it.
func (s *Server) Process() *os.Process { return s.process.Process }

// A KeyValue is a key as etcd has it.
type KeyValue struct {
	Key, Value  string
	ModRevision int64
	Lease       int64
}

// Get reads a key, or all that begin with it.
func (s *Server) Get(key string, prefix bool) ([]KeyValue, error) {
	request := map[string]any{"key": encode(key)}
	if prefix {
		request["range_end"] = encode(after(key))
	}
	var answer struct {
		Kvs []struct {
			Key         []byte `json:"key"`
			Value       []byte `json:"value"`
			ModRevision string `json:"mod_revision"`
			Lease       string `json:"lease"`
		}
	}
	if err := s.post("kv/range", request, &answer); err != nil {
		return nil, err
	}
	var found []KeyValue
	for _, kv := range answer.Kvs {
		revision, _ := strconv.ParseInt(kv.ModRevision, 10, 64)
		lease, _ := strconv.ParseInt(kv.Lease, 10, 64)
		found = append(found, KeyValue{string(kv.Key), string(kv.Value), revision, lease})
	}
	return found, nil
}

// Put writes a key, on no lease.
func (s *Server) Put(key, value string) error {
	return s.post("kv/put", map[string]any{"key": encode(key), "value": encode(value)}, nil)
}

// Delete deletes a key.
func (s *Server) Delete(key string) error {
	return s.post("kv/deleterange", map[string]any{"key": encode(key)}, nil)
}

// Revoke ends a lease.
func (s *Server) Revoke(lease int64) error {
	return s.post("lease/revoke", map[string]any{"ID": strconv.FormatInt(lease, 10)}, nil)
}

func (s *Server) post(path string, request, answer any) error {
	body, err := json.Marshal(request)
	if err != nil {
		return err
	}
	response, err := s.http.Post("http://"+s.Endpoint+"/v3/"+path, "application/json", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("etcd: %s: %s", path, response.Status)
	}
	if answer == nil {
		return nil
	}
	return json.NewDecoder(response.Body).Decode(answer)
}

func encode(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

func after(prefix string) string {
	end := []byte(prefix)
	end[len(end)-1]++
	return string(end)
}
