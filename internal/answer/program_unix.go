//go:build unix

package answer

import (
	"os/exec"
	"syscall"
)

// ownGroup has cmd run in a process group of its own, and returns what ends all
// that is left of that group once cmd has run.
func ownGroup(cmd *exec.Cmd) (end func()) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	end = func() {
		if cmd.Process != nil {
			syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		}
	}
	cmd.Cancel = func() error {
		end()
		return nil
	}
	return end
}
