package mode

// takeWire takes a message of IXWebSocket's ws; false if it is none.
func (g *receiving) takeWire(b []byte) bool { return false }
