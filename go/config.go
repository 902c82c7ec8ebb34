package primacy

import (
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"primacy.example/go/store"
)

// A Config says where etcd is, who this process is, and everything else that may be set. Its zero value with a
// [Candidate] uses an etcd at localhost:2379.
type Config struct {
	// Endpoints of etcd: http://host:port, https://host:port, host:port, or mem://NAME, a store inside this process.
	// Empty: localhost:2379.
	Endpoints []string
	// Root is Milvus's meta root, such as "by-dev/meta": etcd.rootPath and, after the last slash, etcd.metaSubPath; without
	// a slash, etcd.rootPath alone. Empty: by-dev/meta.
	Root string
	// TTL of the lease, in whole seconds, as asked of etcd; the one that etcd grants counts. 0: 10 s.
	TTL time.Duration
	// Store is a client of etcd that the host lends, such as etcdclient.New(client): nothing else is connected to etcd then,
	// and Endpoints, and the settings under etcd.ssl and etcd.auth, have no meaning. nil: the library connects by itself.
	Store store.Store
	// Settings by name, in the text form of the library's table of settings: "primacy.margin_ms": "500". One that is
	// here counts, whatever the fields above say.
	Settings map[string]string
	// Candidate is this process, as others read of it in etcd. An observer needs none.
	Candidate Candidate
	// Logger gets the library's lines; nil: none. Its handler may take its time: it delays nothing, but when it is
	// a thousand lines behind, lines are left out.
	Logger *slog.Logger
}

// A Candidate is what the records of this process in etcd say of it.
type Candidate struct {
	// Address is where clients reach it, host:port unless AnyAddress says otherwise. Required.
	Address string
	// Version, as semantic versioning has it, such as "3.0.0". Required.
	Version string
	// HostName of the machine; empty: what the machine says.
	HostName string
	// ServerLabels, which clients choose servers by.
	ServerLabels map[string]string
	// IndexEngineVersion and ScalarIndexEngineVersion are JSON objects of integers, passed on to Milvus's readers as
	// they are; empty: {}.
	IndexEngineVersion, ScalarIndexEngineVersion string
	// IndexNonEncoding is passed on to Milvus's readers. By default no.
	IndexNonEncoding Choice
	// Exclusive: at most one of the role at a time. By default yes.
	Exclusive Choice
	// TriggerKill is what Milvus 2.x writes and 3.0 does not. By default left out.
	TriggerKill Choice
	// AnyAddress: Address is any text, as Milvus's own code takes it. By default no: it is checked.
	AnyAddress Choice
	// ServerID of this process, from 1, where the host vouches that nobody else has it, such as one that the roles of a
	// process share: a key under it that is there already is waited for. 0: one is taken from the counter in etcd.
	ServerID int64
}

// A Choice is yes, no, or what Milvus's coordinators do.
type Choice int32

// The choices. The zero value is Default.
const (
	Default Choice = iota
	Yes
	No
)

type setting struct{ name, value string }

// What is to be set, in order.
func (c *Config) settings() ([]setting, error) {
	var all []setting
	if len(c.Endpoints) > 0 {
		all = append(all, setting{"etcd.endpoints", strings.Join(c.Endpoints, ",")})
	}
	if c.Root != "" {
		root, sub := strings.TrimRight(c.Root, "/"), "."
		if slash := strings.LastIndexByte(root, '/'); slash > 0 {
			root, sub = root[:slash], root[slash+1:]
		}
		if root == "" {
			return nil, failed("", ErrConfigValue, "Root is "+strconv.Quote(c.Root)+", not like by-dev/meta")
		}
		all = append(all, setting{"etcd.rootPath", root}, setting{"etcd.metaSubPath", sub})
	}
	if c.TTL != 0 {
		if c.TTL%time.Second != 0 {
			return nil, failed("", ErrConfigValue, "TTL is "+c.TTL.String()+", not whole seconds")
		}
		all = append(all, setting{"common.session.ttl", strconv.FormatInt(int64(c.TTL/time.Second), 10)})
	}
	for _, name := range slices.Sorted(maps.Keys(c.Settings)) {
		all = append(all, setting{name, c.Settings[name]})
	}
	return all, nil
}

// Version is that of the C library that is running.
func Version() string { return libVersion() }
