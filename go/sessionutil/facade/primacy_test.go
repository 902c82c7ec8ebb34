//go:build primacy

package sessionutil

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	kvfactory "github.com/milvus-io/milvus/internal/util/dependency/kv"
	"github.com/milvus-io/milvus/pkg/v2/util/paramtable"
	"github.com/milvus-io/milvus/pkg/v2/util/typeutil"
)

// As the other tests of Milvus, these want an etcd where it is configured: ETCD_ENDPOINTS.
const asMixCoord = "PRIMACY_TEST_AS_MIXCOORD"

func TestMain(m *testing.M) {
	paramtable.Init()
	if root := os.Getenv(asMixCoord); root != "" {
		serve(root)
	}
	os.Exit(m.Run())
}

func mixCoord(root string) *Session {
	client, _ := kvfactory.GetEtcdAndPath()
	session := NewSessionWithEtcd(context.Background(), root, client, WithTTL(5))
	session.Init(typeutil.MixCoordRole, "127.0.0.1:53100", true, true)
	session.SetEnableActiveStandBy(true)
	session.Register()
	return session
}

// A process that is active until it is not.
func serve(root string) {
	if err := mixCoord(root).ProcessActiveStandBy(func() error { fmt.Println("active"); return nil }); err != nil {
		panic(err)
	}
	select {}
}

func newRoot() string { return fmt.Sprintf("primacy-ut-%d/meta", time.Now().UnixNano()) }

func TestTheRolesOfAProcessShareItsNodeID(t *testing.T) {
	root := newRoot()
	client, _ := kvfactory.GetEtcdAndPath()
	paramtable.SetNodeID(0)
	mix := mixCoord(root)
	defer mix.Stop()
	require.NotZero(t, mix.ServerID)
	require.Equal(t, mix.ServerID, paramtable.GetNodeID())
	proxy := NewSessionWithEtcd(context.Background(), root, client)
	proxy.Init(typeutil.ProxyRole, "127.0.0.1:19529", false, true)
	proxy.Register()
	defer proxy.Stop()
	require.Equal(t, mix.ServerID, proxy.ServerID)
	own := NewSessionWithEtcd(context.Background(), root, client, WithResueNodeID(false))
	own.Init(typeutil.ProxyRole, "127.0.0.1:19530", false, true)
	defer own.Stop()
	require.NotEqual(t, mix.ServerID, own.ServerID)
	sessions, _, err := mix.GetSessions(context.Background(), typeutil.ProxyRole)
	require.NoError(t, err)
	require.Equal(t, "127.0.0.1:19529", sessions[fmt.Sprintf("proxy-%d", mix.ServerID)].Address)
}

func TestALostSessionEndsTheProcessAndTheNextOneIsActive(t *testing.T) {
	root := newRoot()
	client, _ := kvfactory.GetEtcdAndPath()
	paramtable.SetNodeID(0) // that of this process is for another root
	other := exec.Command(os.Args[0])
	other.Env = append(os.Environ(), asMixCoord+"="+root)
	stdout, err := other.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, other.Start())
	defer func() { _ = other.Process.Kill() }()
	for said := ""; !strings.Contains(said, "active\n"); { // Milvus's log is on stdout, too
		text := make([]byte, 4096)
		n, err := stdout.Read(text)
		require.NoError(t, err)
		said += string(text[:n])
	}
	go func() { // what it says more
		for text := make([]byte, 4096); ; {
			if _, err := stdout.Read(text); err != nil {
				return
			}
		}
	}()
	standby := mixCoord(root)
	defer standby.Stop()
	active := make(chan error, 1)
	go func() { active <- standby.ProcessActiveStandBy(nil) }()
	sessions, _, err := standby.GetSessions(context.Background(), typeutil.MixCoordRole)
	require.NoError(t, err)
	_, err = client.Revoke(context.Background(), *sessions[typeutil.MixCoordRole].LeaseID)
	require.NoError(t, err)
	var ended *exec.ExitError
	require.ErrorAs(t, other.Wait(), &ended)
	require.Equal(t, exitCodeSessionLeaseExpired, ended.ExitCode())
	require.NoError(t, <-active)
	require.Positive(t, standby.GetRegisteredRevision())
}
