package answer

import (
	"bytes"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
)

// Process 1 is the parent of what programs started and left behind, and has to wait
// for that, lest it stays as a zombie. What package exec waits for is not touched.

var reaping struct {
	once sync.Once
	mu   sync.Mutex // held while a child starts
	own  map[int]bool
}

// runChild is cmd.Run.
func runChild(cmd *exec.Cmd) error {
	if os.Getpid() != 1 {
		return cmd.Run()
	}
	r := &reaping
	r.once.Do(func() {
		r.own = make(map[int]bool)
		ended := make(chan os.Signal, 1)
		signal.Notify(ended, syscall.SIGCHLD)
		go func() { // as long as the system lives
			for range ended {
				reapOrphans(1)
			}
		}()
	})
	r.mu.Lock()
	err := cmd.Start()
	if err == nil {
		r.own[cmd.Process.Pid] = true
	}
	r.mu.Unlock()
	if err != nil {
		return err
	}
	err = cmd.Wait()
	r.mu.Lock()
	delete(r.own, cmd.Process.Pid)
	r.mu.Unlock()
	return err
}

// reapOrphans waits for the zombies that are children of parent and not ours to keep.
func reapOrphans(parent int) {
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		stat, _ := os.ReadFile("/proc/" + e.Name() + "/stat")
		// pid (name) state parent: the name may hold anything.
		f := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
		if len(f) < 2 || string(f[0]) != "Z" || string(f[1]) != strconv.Itoa(parent) {
			continue
		}
		reaping.mu.Lock()
		if !reaping.own[pid] {
			syscall.Wait4(pid, nil, syscall.WNOHANG, nil)
		}
		reaping.mu.Unlock()
	}
}
