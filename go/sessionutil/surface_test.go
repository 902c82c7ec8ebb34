//go:build cgo

package sessionutil

import (
	"bufio"
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/blang/semver/v4"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// The shapes in which Milvus calls them, by 2.5.27, 2.6.13, the master of March 2026 and what is newer.
var (
	_ SessionInterface = (*Session)(nil)
	_ SessionInterface = (*MockSession)(nil)
	_ SessionWatcher   = (*MockSessionWatcher)(nil)
	_ SessionWatcher   = EmptySessionWatcher()
	_ interface {
		LivenessCheck(ctx context.Context, callback func())
		Revoke(timeout time.Duration)
		ForceActiveStandby(activateFunc func() error) error
		SetMixCoordMode(enable bool)
		GetServerLabel() map[string]string
		GetResourceGroupName() string
		GetSessionsWithVersionRange(prefix string, r semver.Range) (map[string]*Session, int64, error)
	} = (*Session)(nil)
	_ = func(s SessionInterface) {
		s.Init("mixcoord", "host:1", true)
		s.Init("mixcoord", "host:1", true, true)
		s.Register()
	}
	_ = []SessionOption{
		WithTTL(10), WithRetryTimes(3), WithResueNodeID(false), WithIndexNonEncoding(), WithIndexEngineVersion(1, 2),
		WithIndexEngineVersion(1, 2, 3), WithScalarIndexEngineVersion(1, 2), WithScalarIndexEngineVersion(1, 2, 3),
	}
	_ func(pid int) []string                                                       = GetSessions
	_ func(role string, serverID int64)                                            = SaveServerInfo
	_ func(ctx context.Context, prefix string) (map[string]*Session, int64, error) = (&Session{}).GetSessions
	_                                                                              = Session{SessionRaw: SessionRaw{LeaseID: new(clientv3.LeaseID)}}
)

// What a folder declares: names, and members of types as Type.Member. An embedded type lends its members.
func declared(t *testing.T, folder string) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*.go"))
	must(t, "files", err)
	names, embedded := map[string]bool{}, map[string]string{}
	member := func(of string, fields *ast.FieldList) {
		for _, field := range fields.List {
			for _, name := range field.Names {
				names[of+"."+name.Name] = true
			}
			if base, ok := field.Type.(*ast.Ident); ok && len(field.Names) == 0 {
				embedded[of] = base.Name
			}
		}
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		must(t, name, err)
		for _, declaration := range file.Decls {
			switch d := declaration.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil {
					names[d.Name.Name] = true
					continue
				}
				receiver := d.Recv.List[0].Type
				if pointer, ok := receiver.(*ast.StarExpr); ok {
					receiver = pointer.X
				}
				names[receiver.(*ast.Ident).Name+"."+d.Name.Name] = true
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					switch s := spec.(type) {
					case *ast.ValueSpec:
						for _, name := range s.Names {
							names[name.Name] = true
						}
					case *ast.TypeSpec:
						names[s.Name.Name] = true
						switch of := s.Type.(type) {
						case *ast.StructType:
							member(s.Name.Name, of.Fields)
						case *ast.InterfaceType:
							member(s.Name.Name, of.Methods)
						}
					}
				}
			}
		}
	}
	for of, base := range embedded {
		for name := range names {
			if rest, ok := strings.CutPrefix(name, base+"."); ok {
				names[of+"."+rest] = true
			}
		}
	}
	return names
}

func TestEverythingThatMilvusUsesIsThere(t *testing.T) {
	ours, facade := declared(t, "."), declared(t, "facade")
	file, err := os.Open("testdata/milvus-identifiers.txt")
	must(t, "the list", err)
	defer file.Close()
	count := 0
	for lines := bufio.NewScanner(file); lines.Scan(); {
		line := lines.Text()
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		count++
		name, source, ok := strings.Cut(line, "\t")
		if !ok || source == "" {
			t.Errorf("%q does not say where it is from", line)
		}
		if !ours[name] {
			t.Errorf("%s is missing: %s", name, source)
		}
		// Its types are ours; the rest is in it by name, but for what the tree of the patch does not have.
		top, _, isMember := strings.Cut(name, ".")
		if inTree := strings.Contains(source, "internal/") || strings.HasPrefix(source, "cmd/"); !isMember && inTree &&
			!facade[top] && !strings.HasPrefix(source, "2.5") {
			t.Errorf("%s is missing in the facade: %s", name, source)
		}
	}
	if count < 100 {
		t.Errorf("the list has %d names", count)
	}
}
