package etcdtest

import (
	"fmt"
	"os"
	"os/signal"
	"testing"
)

// Main runs the tests of a package with an etcd that use is given, and returns the exit code: that of a failure, too, if
// anything is left over at the end, whichever test left it. live counts the values that the C library may still ask for.
func Main(m *testing.M, live func() int64, use func(*Server)) int {
	used := make(chan os.Signal, 1) // from its first use on, os/signal keeps a goroutine
	signal.Notify(used, os.Interrupt)
	signal.Stop(used)
	before := Running()
	server, err := Start()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	use(server)
	code := m.Run()
	server.Stop()
	if code != 0 {
		return code
	}
	for _, stack := range before.Leaks() {
		fmt.Fprintf(os.Stderr, "a goroutine is left over at the end:\n%s\n", stack)
		code = 1
	}
	if n := live(); n != 0 {
		fmt.Fprintf(os.Stderr, "%d handles are left over at the end\n", n)
		code = 1
	}
	return code
}
