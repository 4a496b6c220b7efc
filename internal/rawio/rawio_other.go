//go:build !unix

package rawio

import (
	"errors"
	"syscall"
	"time"
)

// On these systems Socket returns nil, so that nothing else is called.
const supported = false

// A Reader reads where Socket is not nil.
type Reader struct{}

func (*Reader) Init(syscall.RawConn) {}

func (*Reader) Read(uintptr, []byte) (int, bool, error) { return 0, true, errors.ErrUnsupported }

func Read(uintptr, []byte) (int, error)  { return 0, errors.ErrUnsupported }
func Write(uintptr, []byte) (int, error) { return 0, errors.ErrUnsupported }
func pendingError(uintptr) error         { return nil }
func queued(uintptr) (int, bool)         { return 0, false }
func giveUp(uintptr, time.Duration)      {}

func PeerAt(uintptr) Peer { return Here }
