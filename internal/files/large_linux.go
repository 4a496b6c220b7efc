package files

import "syscall"

// openLarge makes files beyond 2 GiB possible where a machine word has 32 bits:
// os.OpenFile sets it, the methods of os.Root do not.
const openLarge = syscall.O_LARGEFILE
