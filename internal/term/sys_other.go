//go:build !(linux || darwin || freebsd || openbsd || netbsd || dragonfly || windows)

package term

import (
	"errors"
	"os"
	"time"
)

// No terminal is known here: every file is read as plain lines.

type ttyState struct{}

func isTerminal(uintptr) bool                  { return false }
func windowSize(uintptr) (cols, rows int)      { return 0, 0 }
func makeRaw(_, _ *os.File) (*ttyState, error) { return nil, errors.ErrUnsupported }
func (*ttyState) restore(_, _ *os.File) error  { return nil }

const canStop = false

func inForeground(*os.File) bool                { return true }
func notifyTerminal(chan<- os.Signal)           {}
func isContinue(os.Signal) bool                 { return false }
func stopGroup() error                          { return errors.ErrUnsupported }
func isAgain(error) bool                        { return false }
func waitWritable(*os.File, time.Duration) bool { return true }
func newInput(file *os.File, _ bool) input      { return newPump(file) }

// OutQueue returns 0: nobody knows.
func OutQueue(uintptr) int { return 0 }
