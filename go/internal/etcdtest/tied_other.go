//go:build !linux

package etcdtest

import "os/exec"

// Starts a process, which here outlives a test that is ended from outside.
func startTied(process *exec.Cmd) error { return process.Start() }
