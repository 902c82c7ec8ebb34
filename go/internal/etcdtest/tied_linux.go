package etcdtest

import (
	"os/exec"
	"runtime"
	"syscall"
)

// StartTied starts a process that ends with this one, also when a test that takes too long ends it.
func StartTied(process *exec.Cmd) error {
	started := make(chan error)
	go func() {
		// It ends with the thread that starts it, and Go ends threads only that a goroutine keeps for itself.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		started <- process.Start()
	}()
	return <-started
}
