//go:build !linux

package etcdtest

import "os/exec"

// StartTied starts a process, which here outlives a test that is ended from outside.
func StartTied(process *exec.Cmd) error { return process.Start() }
