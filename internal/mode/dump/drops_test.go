package dump

import "testing"

func TestDropsIn(t *testing.T) {
	const table = `   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  105: 0100007F:1F90 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4711 2 0000000000000000 0
  106: 0100007F:1F91 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4712 2 0000000000000000 123
`
	for _, tt := range []struct {
		inode string
		n     int64
		ok    bool
	}{{"4711", 0, true}, {"4712", 123, true}, {"471", 0, false}, {"", 0, false}} {
		if n, ok := dropsIn([]byte(table), tt.inode); n != tt.n || ok != tt.ok {
			t.Errorf("dropsIn(%s) = %d, %v; want %d, %v", tt.inode, n, ok, tt.n, tt.ok)
		}
	}
}
